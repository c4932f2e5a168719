"""What settings are called: whoever wrote a file of settings finds each of them in every later version."""

from __future__ import annotations

from sluicegate.config.risks import WAIVERS

from .sources import ENVIRONMENT_NAMES, FIELDS

# Written down, so that a setting cannot be renamed or removed by mistake. A new one is added here with its version.
KEPT = (
    "rules",
    "url",
    "waivers",
    "redis.url",
    "redis.username",
    "redis.password",
    "redis.password_file",
    "redis.tls_ca_file",
    "redis.tls_cert_file",
    "redis.tls_key_file",
    "redis.key_prefix",
    "redis.key_secret",
    "redis.hash_tags",
    "pool.connect_timeout_ms",
    "pool.deadline_ms",
    "pool.connections_max",
    "memory.keys_max",
    "batching.requests_max",
    "batching.in_flight_max",
    "batching.queue_max",
    "deny_cache.duration_ms",
    "leases.keys_max",
    "fallback.on_failure",
    "fallback.on_failure_critical",
    "resilience.reconnect_min_ms",
    "resilience.reconnect_max_ms",
    "resilience.refused_pause_ms",
    "monitoring.logger",
    "monitoring.log_level",
    "monitoring.log_format",
    "monitoring.log_keys",
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
    "server.host",
    "server.port",
    "server.workers",
    "server.drain_delay_ms",
    "server.grace_ms",
    "server.secret",
    "server.tls_cert_file",
    "server.tls_key_file",
    "server.grpc_port",
    "server.admin_enabled",
    "server.admin_token",
    "flags.leases",
    "flags.deny_cache",
    "flags.coalescing",
    "flags.carrying",
    "flags.reload",
    "flags.changes",
)
WAIVERS_KEPT = {
    "memory_with_workers",
    "redis_without_authentication",
    "redis_without_tls",
    "redis_tls_unchecked",
    "admin_without_authentication",
    "keys_in_logs",
    "unfenced_leader",
}


def test_each_setting_keeps_its_name_and_unit() -> None:
    """One that is gone breaks what is promised; one that is new has to be written down."""
    names = {".".join(field.path) for field in FIELDS}
    assert set(KEPT) - names == set(), "a setting is gone, or is called otherwise"
    assert names - set(KEPT) == set(), "a new setting is not written down"


def test_each_waiver_and_environment_keeps_its_name() -> None:
    """For they stand in files as well."""
    assert set(WAIVERS) == WAIVERS_KEPT
    assert set(ENVIRONMENT_NAMES) == {"development", "test", "staging", "production"}
