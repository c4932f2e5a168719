"""Settings for each environment over one typed base; the class says what is usual there, and what is refused."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path  # noqa: TC003 - pydantic reads the annotations
from typing import TYPE_CHECKING, ClassVar, Final, Literal, Self

from pydantic import Field, PrivateAttr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from sluicegate.config.groups import (
    TEXT_LENGTH_MAX,
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
    as_meant,
)
from sluicegate.config.sources import PREFIX, sources_of
from sluicegate.utils import checked_service_url

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic_settings import PydanticBaseSettingsSource

__all__ = [
    "ENVIRONMENTS",
    "USUAL",
    "DevelopmentSettings",
    "Origins",
    "ProductionSettings",
    "Settings",
    "StagingSettings",
    "TestSettings",
]

Environment = Literal["development", "test", "staging", "production"]
USUAL: Final = "what is usual in the environment"


@dataclass(frozen=True, slots=True)
class Origins:
    """Where settings come from, which makes them no other settings.

    Attributes:
        told: Which source set each that was set.
    """

    told: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)


class Settings(BaseSettings):
    """All settings of a process.

    They are read, in this order, from arguments, environment variables (``SLUICEGATE_REDIS__URL``), secret files,
    ``.env``, and a TOML or YAML file; what none of them sets is as usual in the environment.
    """

    model_config = SettingsConfigDict(
        defer_build=True,  # of the four only one is needed
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )
    environment: ClassVar[Environment]
    strict: ClassVar[bool] = False
    """Whether what is risky is refused unless it is waived by name; else it is only told."""

    rules: Path | None = None
    """The file of rules, YAML or TOML."""

    url: str | None = Field(default=None, min_length=1, max_length=TEXT_LENGTH_MAX)
    """Where a running service is, for the commands that ask one."""

    waivers: Names = Field(default=(), json_schema_extra={"items": {"type": "string"}})
    """What production may run without, each by its name."""

    redis: RedisSettings = RedisSettings.model_construct()
    pool: PoolSettings = PoolSettings.model_construct()
    memory: MemorySettings = MemorySettings.model_construct()
    batching: BatchingSettings = BatchingSettings.model_construct()
    deny_cache: DenyCacheSettings = DenyCacheSettings.model_construct()
    leases: LeaseSettings = LeaseSettings.model_construct()
    fallback: FallbackSettings = FallbackSettings.model_construct()
    resilience: ResilienceSettings = ResilienceSettings.model_construct()
    monitoring: MonitoringSettings = MonitoringSettings.model_construct()
    distributed: DistributedSettings = DistributedSettings.model_construct()
    server: ServerSettings = ServerSettings.model_construct()
    flags: FlagSettings = FlagSettings.model_construct()

    _origins: Origins = PrivateAttr(default_factory=Origins)

    @field_validator("rules", "url", mode="before")
    @classmethod
    def _as_meant(cls, value: object, info: ValidationInfo) -> object:
        return as_meant(cls.model_fields[info.field_name or ""], value)

    @field_validator("url")
    @classmethod
    def _url_without_user(cls, value: str | None) -> str | None:
        return None if value is None else checked_service_url(value, "url")

    def origin(self, name: str) -> str:
        """Return which source set a setting.

        Args:
            name: Its name, such as ``redis.url``.
        """
        return self._origins.told.get(name, USUAL)

    def noting(self, origins: Origins) -> Self:
        """Return the same settings, which know where they come from."""
        copied = self.model_copy()
        copied._origins = origins  # noqa: SLF001 - its own
        return copied

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
    monitoring: MonitoringSettings = MonitoringSettings.model_construct(
        log_level="debug", log_format="text", log_keys=True
    )


class TestSettings(Settings):
    """In tests: nothing waits, and nobody is in the way of anybody."""

    __test__: ClassVar[bool] = False  # for test runners, which take the name for a test's
    environment: ClassVar[Environment] = "test"
    monitoring: MonitoringSettings = MonitoringSettings.model_construct(log_level="warning", log_format="text")
    server: ServerSettings = ServerSettings.model_construct(port=0, drain_delay_ms=0, grace_ms=1_000)


class StagingSettings(Settings):
    """As in production, but what is refused there is only told here."""

    environment: ClassVar[Environment] = "staging"


class ProductionSettings(Settings):
    """In production: what is risky is refused unless it is waived by name."""

    environment: ClassVar[Environment] = "production"
    strict: ClassVar[bool] = True
    server: ServerSettings = ServerSettings.model_construct(drain_delay_ms=5_000)


ENVIRONMENTS: Final[dict[str, type[Settings]]] = {
    each.environment: each for each in (DevelopmentSettings, TestSettings, StagingSettings, ProductionSettings)
}
