"""The product: limits, decisions, and the limiters that make them."""

from sluicegate.ratelimit.ban_rule import BanRule
from sluicegate.ratelimit.bans import BAN, OVERRIDE, Ban, Override
from sluicegate.ratelimit.blocking import BlockingHold, BlockingLimiter
from sluicegate.ratelimit.comparing import without_those_beside
from sluicegate.ratelimit.decision import Decision, JointDecision
from sluicegate.ratelimit.denial_log import DenialLog
from sluicegate.ratelimit.features import Features
from sluicegate.ratelimit.holds import Hold, HoldVerbs
from sluicegate.ratelimit.limit import Limit
from sluicegate.ratelimit.limiter import Limiter
from sluicegate.ratelimit.overruling import KEYS_AT_ONCE_MAX, Bans, BlockingBans, BlockingRateOverrides, RateOverrides
from sluicegate.ratelimit.rate import Rate
from sluicegate.ratelimit.statistics import Statistics
from sluicegate.ratelimit.stores.redis import Batching, RedisStore, allowed_script, decide_script

__all__ = [
    "BAN",
    "KEYS_AT_ONCE_MAX",
    "OVERRIDE",
    "Ban",
    "BanRule",
    "Bans",
    "Batching",
    "BlockingBans",
    "BlockingHold",
    "BlockingLimiter",
    "BlockingRateOverrides",
    "Decision",
    "DenialLog",
    "Features",
    "Hold",
    "HoldVerbs",
    "JointDecision",
    "Limit",
    "Limiter",
    "Override",
    "Rate",
    "RateOverrides",
    "RedisStore",
    "Statistics",
    "allowed_script",
    "decide_script",
    "without_those_beside",
]
