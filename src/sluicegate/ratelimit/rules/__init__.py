"""Rules from a file: what it may say, which requests it covers, and how it is read."""

from sluicegate.ratelimit.rules.loading import RULES_FILE_BYTES_MAX, load_rules, parse_rules
from sluicegate.ratelimit.rules.matching import PathPattern
from sluicegate.ratelimit.rules.meeting import RULES_AT_ONCE_MAX, Meeting, largest_meeting
from sluicegate.ratelimit.rules.model import DESCRIPTORS, KeyTemplate, Match, Rule, Rules, checked_descriptor
from sluicegate.ratelimit.rules.reloading import LiveRules, RulesState
from sluicegate.ratelimit.rules.schema import rules_schema

__all__ = [
    "DESCRIPTORS",
    "RULES_AT_ONCE_MAX",
    "RULES_FILE_BYTES_MAX",
    "KeyTemplate",
    "LiveRules",
    "Match",
    "Meeting",
    "PathPattern",
    "Rule",
    "Rules",
    "RulesState",
    "checked_descriptor",
    "largest_meeting",
    "load_rules",
    "parse_rules",
    "rules_schema",
]
