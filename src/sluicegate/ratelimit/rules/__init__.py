"""Rules from a file: what it may say, which requests it covers, and how it is read."""

from sluicegate.ratelimit.rules.conditions import Match
from sluicegate.ratelimit.rules.descriptors import DESCRIPTORS, checked_descriptor
from sluicegate.ratelimit.rules.doubting import Doubt
from sluicegate.ratelimit.rules.fallback import Fallback
from sluicegate.ratelimit.rules.globs import Glob
from sluicegate.ratelimit.rules.loading import RULES_FILE_BYTES_MAX, inspect_rules, load_rules, parse_rules
from sluicegate.ratelimit.rules.matching import PathPattern
from sluicegate.ratelimit.rules.meeting import (
    RULES_AT_ONCE_MAX,
    Meeting,
    largest_meeting,
    meeting_apart,
    those_that_fit,
)
from sluicegate.ratelimit.rules.model import Charge, KeyTemplate, Rule, Rules
from sluicegate.ratelimit.rules.providing import LimitProvider, ProvidedLimits
from sluicegate.ratelimit.rules.reloading import LiveRules, RulesState
from sluicegate.ratelimit.rules.rolling import Rollout, place_of
from sluicegate.ratelimit.rules.scheduling import Schedule, Times
from sluicegate.ratelimit.rules.schema import rules_schema

__all__ = [
    "DESCRIPTORS",
    "RULES_AT_ONCE_MAX",
    "RULES_FILE_BYTES_MAX",
    "Charge",
    "Doubt",
    "Fallback",
    "Glob",
    "KeyTemplate",
    "LimitProvider",
    "LiveRules",
    "Match",
    "Meeting",
    "PathPattern",
    "ProvidedLimits",
    "Rollout",
    "Rule",
    "Rules",
    "RulesState",
    "Schedule",
    "Times",
    "checked_descriptor",
    "inspect_rules",
    "largest_meeting",
    "load_rules",
    "meeting_apart",
    "parse_rules",
    "place_of",
    "rules_schema",
    "those_that_fit",
]
