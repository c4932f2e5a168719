"""Settings that are checked, and that this version makes no use of: whoever sets one is told so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sluicegate.config.telling import differing

if TYPE_CHECKING:
    from sluicegate.config.environments import Settings

__all__ = ["UNUSED", "unused_of"]

UNUSED: Final = (
    "monitoring.prometheus_enabled",
    "monitoring.prometheus_path",
    "monitoring.opentelemetry_url",
    "monitoring.opentelemetry_interval_ms",
    "monitoring.alerts_url",
    "monitoring.alerts_repeat_ms",
    "monitoring.slo_availability_ratio",
    "monitoring.slo_latency_ms",
    "monitoring.slo_window_days",
    "distributed.instance_id",
    "distributed.instances",
    "distributed.heartbeat_ms",
    "distributed.coordinator",
    "distributed.leader_duties",
    "server.grpc_port",
    "server.admin_enabled",
)


def unused_of(settings: Settings) -> list[str]:
    """Return which of the settings that are not as usual make no difference."""
    return [name for name in differing(type(settings).model_construct(), settings) if name in UNUSED]
