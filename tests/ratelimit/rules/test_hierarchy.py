"""Everybody, each tenant and each user: several levels on one request, all or nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from sluicegate import ConfigurationError, Limiter
from sluicegate.ratelimit.rules import KeyTemplate, load_rules, parse_rules
from sluicegate.testing import ManualClock

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "hierarchy.yaml"
SMALL = """\
version: 1
limits:
  everybody: {rate: 6/hour, algorithm: fixed_window, key: global}
  per-tenant: {rate: 4/hour, algorithm: fixed_window, key: tenant}
  per-user: {rate: 2/hour, algorithm: fixed_window, key: [tenant, user]}
"""


async def test_a_request_is_charged_to_all_levels_or_to_none() -> None:
    """Whichever level denies, the others keep what they had."""
    rules = parse_rules(SMALL)
    async with Limiter(clock=ManualClock(1_700_000_000.0)) as limiter:

        async def visit(tenant: str, user: str) -> str:
            joint = await limiter.acquire_all(rules.matching({"tenant": tenant, "user": user}))
            return "passed" if joint.allowed else joint.binding.limit.name

        assert [await visit("acme", "ann") for _ in range(4)] == ["passed", "passed", "per-user", "per-user"]
        assert [await visit("acme", "bob") for _ in range(2)] == ["passed", "passed"]
        assert [await visit("acme", "cid") for _ in range(2)] == ["per-tenant", "per-tenant"]
        assert [await visit("blue", user) for user in "abc"] == ["passed", "passed", "everybody"]
        left = {}
        for limit, key in rules.matching({"tenant": "blue", "user": "c"}):
            left[limit.name, key] = (await limiter.peek(limit, key)).remaining
        assert left == {("everybody", "global"): 0, ("per-tenant", "blue"): 2, ("per-user", "blue:c"): 2}


def test_everybody_is_one_key_whatever_a_request_brings() -> None:
    """No descriptor is needed for it, none can change it, and it stands alone."""
    key = KeyTemplate(("global",))
    assert key.key({}) == key.key({"tenant": "a"}) == "global"
    assert key.names == ()
    with pytest.raises(ConfigurationError, match=r"limits\.a\.key: found global beside others; accepted: global alone"):
        parse_rules("version: 1\nlimits: {a: {rate: 1/s, key: [global, user]}}")
    with pytest.raises(ConfigurationError, match="did you mean 'global'"):
        parse_rules("version: 1\nlimits: {a: {rate: 1/s, key: globl}}")


def test_the_example_has_three_levels() -> None:
    """The example covers a user's request by all its levels, and a stranger's by the first."""
    rules = load_rules(EXAMPLE)
    named = [(limit.name, key) for limit, key in rules.matching({"tenant": "acme", "user": "ann"})]
    assert named == [("everybody", "global"), ("per-tenant", "acme"), ("per-user", "acme:ann")]
    assert [limit.name for limit, _ in rules.matching({})] == ["everybody"]
