"""Settings for each environment over one typed base; the class says what is usual there, and what is refused."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - pydantic reads the annotations
from typing import TYPE_CHECKING, ClassVar, Final, Literal

from pydantic import BaseModel, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from sluicegate.config.groups import (
    BatchingSettings,
    DenyCacheSettings,
    DistributedSettings,
    FallbackSettings,
    FlagSettings,
    LeaseSettings,
    MemorySettings,
    MonitoringSettings,
    Names,
    PoolSettings,
    RedisSettings,
    ResilienceSettings,
    ServerSettings,
)
from sluicegate.config.sources import PREFIX, sources_of

if TYPE_CHECKING:
    from pydantic_settings import PydanticBaseSettingsSource

__all__ = ["ENVIRONMENTS", "DevelopmentSettings", "ProductionSettings", "Settings", "StagingSettings", "TestSettings"]

Environment = Literal["development", "test", "staging", "production"]


class Settings(BaseSettings):
    """All settings of a process.

    They are read, in this order, from arguments, environment variables (``SLUICEGATE_REDIS__URL``), secret files,
    ``.env``, and a TOML or YAML file; what none of them sets is as usual in the environment.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        nested_model_default_partial_update=True,
        use_attribute_docstrings=True,
    )
    environment: ClassVar[Environment]
    strict: ClassVar[bool] = False
    """Whether what is risky is refused unless it is waived by name; else it is only told."""

    rules: Path | None = None
    """The file of rules, YAML or TOML."""

    url: str | None = None
    """Where a running service is, for the commands that ask one."""

    waivers: Names = Field(default=(), json_schema_extra={"items": {"type": "string"}})
    """What production may run without, each by its name."""

    redis: RedisSettings = RedisSettings()
    pool: PoolSettings = PoolSettings()
    memory: MemorySettings = MemorySettings()
    batching: BatchingSettings = BatchingSettings()
    deny_cache: DenyCacheSettings = DenyCacheSettings()
    leases: LeaseSettings = LeaseSettings()
    fallback: FallbackSettings = FallbackSettings()
    resilience: ResilienceSettings = ResilienceSettings()
    monitoring: MonitoringSettings = MonitoringSettings()
    distributed: DistributedSettings = DistributedSettings()
    server: ServerSettings = ServerSettings()
    flags: FlagSettings = FlagSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - made anew, with what is read noted
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - as above
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Say what is read, and in which order."""
        return sources_of(settings_cls, init_settings, getattr(file_secret_settings, "secrets_dir", None))


class DevelopmentSettings(Settings):
    """On a developer's machine: everything is told, in words."""

    environment: ClassVar[Environment] = "development"
    monitoring: MonitoringSettings = MonitoringSettings(log_level="debug", log_format="text", log_keys=True)


class TestSettings(Settings):
    """In tests: nothing waits, and nobody is in the way of anybody."""

    __test__: ClassVar[bool] = False  # for test runners, which take the name for a test's
    environment: ClassVar[Environment] = "test"
    monitoring: MonitoringSettings = MonitoringSettings(log_level="warning", log_format="text")
    server: ServerSettings = ServerSettings(port=0, drain_delay_ms=0, grace_ms=1_000)


class StagingSettings(Settings):
    """As in production, but what is refused there is only told here."""

    environment: ClassVar[Environment] = "staging"


class ProductionSettings(Settings):
    """In production: what is risky is refused unless it is waived by name."""

    environment: ClassVar[Environment] = "production"
    strict: ClassVar[bool] = True
    server: ServerSettings = ServerSettings(drain_delay_ms=5_000)


ENVIRONMENTS: Final[dict[str, type[Settings]]] = {
    each.environment: each for each in (DevelopmentSettings, TestSettings, StagingSettings, ProductionSettings)
}


def group_of(settings_class: type[BaseModel], name: str) -> type[BaseModel] | None:
    """Return the class of the group *name*, or ``None`` where that is a single field."""
    annotation = settings_class.model_fields[name].annotation
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
