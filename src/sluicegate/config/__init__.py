"""Settings for each environment, and the one place that builds a process from them."""

from sluicegate.config.composition import App, blocking_limiter, fallback_of, open, parts  # noqa: A004 - read as sluicegate.open
from sluicegate.config.diagnosis import Finding, diagnose
from sluicegate.config.environments import (
    ENVIRONMENTS,
    DevelopmentSettings,
    ProductionSettings,
    Settings,
    StagingSettings,
    TestSettings,
)
from sluicegate.config.loading import Loaded, load_settings, read_settings
from sluicegate.config.starting import check_start
from sluicegate.config.switching import LiveSettings, features_of
from sluicegate.config.telling import Row, commented_file, effective, schema, shown_url
from sluicegate.config.unused import UNUSED, unused_of

__all__ = [
    "ENVIRONMENTS",
    "UNUSED",
    "App",
    "DevelopmentSettings",
    "Finding",
    "LiveSettings",
    "Loaded",
    "ProductionSettings",
    "Row",
    "Settings",
    "StagingSettings",
    "TestSettings",
    "blocking_limiter",
    "check_start",
    "commented_file",
    "diagnose",
    "effective",
    "fallback_of",
    "features_of",
    "load_settings",
    "open",
    "parts",
    "read_settings",
    "schema",
    "shown_url",
    "unused_of",
]
