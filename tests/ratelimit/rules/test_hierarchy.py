"""Everybody, each tenant and each user: several levels on one request, all or nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.fleets import ClusterFleet

from sluicegate import ConfigurationError, InvalidInputError, Limiter, NullLogger
from sluicegate.database import Keyspace, connect
from sluicegate.integrations.asgi import RateLimitMiddleware
from sluicegate.ratelimit import RedisStore
from sluicegate.ratelimit.rules import KeyTemplate, load_rules, meeting_apart, parse_rules
from sluicegate.testing import ManualClock
from sluicegate.utils import SystemClock

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


GROUPED = """\
version: 1
limits:
  everybody: {rate: 60000/hour, algorithm: fixed_window, key: global, mode: leased}
  per-tenant: {rate: 4/hour, key: tenant}
  per-user: {rate: 2/hour, key: [tenant, user], group: tenant}
"""


def test_a_group_is_told_by_names_of_the_key() -> None:
    """A limit counts its parts; the whole key is no group of its own."""
    rules = parse_rules(GROUPED.replace("key: tenant}", "key: tenant, group: tenant}"))
    assert [rule.limit.group for rule in rules.limits] == [0, 0, 1]
    assert [rule.group for rule in rules.limits] == [("global",), ("tenant",), ("tenant",)]


@pytest.mark.parametrize(
    ("group", "told"),
    [
        ("user", r"limits\.per-user\.group: found user; accepted: descriptors that the key begins with: tenant, user"),
        ("[tenant, user, path]", r"found tenant, user, path; accepted: descriptors that the key begins with"),
        ("tennant", "did you mean 'tenant'"),
        ("1", r"limits\.per-user\.group"),
    ],
)
def test_a_group_with_which_the_key_does_not_begin_is_refused(group: str, told: str) -> None:
    """It would not be a function of the key."""
    with pytest.raises(ConfigurationError, match=told):
        parse_rules(GROUPED.replace("group: tenant", f"group: {group}"))


def test_one_name_has_one_group_in_all_plans() -> None:
    """Another group is another place of the state."""
    plans = "plans: {pro: {limits: {per-user: {group: [tenant, user]}}}}\n"
    with pytest.raises(ConfigurationError, match=r"group: found another group than in limits\.per-user"):
        parse_rules(GROUPED + plans)


@pytest.mark.parametrize(
    ("rules", "names"),
    [
        (GROUPED, ()),
        (SMALL, ("everybody", "per-tenant", "per-user")),
        (GROUPED.replace(", group: tenant", ""), ("everybody", "per-tenant", "per-user")),
        (GROUPED.replace(", mode: leased", ""), ("everybody", "per-tenant", "per-user")),
        (SMALL.replace("key: tenant}", "key: tenant, match: {path: /a}}").replace("everybody", "x"), ("x", "per-user")),
        (
            GROUPED.replace("key: tenant}", "key: path, match: {path: /a}}").replace(
                "user], group", "user], match: {path: /b}, group"
            ),
            (),
        ),
        (
            "version: 1\nlimits:\n  a: {rate: 1/s, key: user}\n  b: {rate: 1/s, key: tenant, charge: {status: 401}}\n",
            (),
        ),
    ],
)
def test_rules_that_lie_apart_are_found(rules: str, names: tuple[str, ...]) -> None:
    """Those that one request meets, are strict, and are of several groups."""
    meeting = meeting_apart(parse_rules(rules))
    assert names == (() if meeting is None else tuple(rule.limit.name for rule in meeting.rules))


async def test_rules_that_lie_apart_are_refused_at_the_start(redis_url: str) -> None:
    """Where keys have hash tags, with the way out; elsewhere they are as good as any."""

    async def application(_scope: object, _receive: object, _send: object) -> None:
        raise AssertionError("nothing is asked")

    for tags in (0, 16):
        store = RedisStore(connect(redis_url), SystemClock(), NullLogger(), keyspace=Keyspace(f"s{tags}", tags=tags))
        async with Limiter(store=store, logger=NullLogger()) as limiter:
            if tags:
                with pytest.raises(InvalidInputError, match="per-user by tenant, user; accepted: one group") as refused:
                    RateLimitMiddleware(application, limiter, limits=parse_rules(SMALL), descriptors=dict)
                assert "everybody by global" in str(refused.value)
                assert "any method, path /" in str(refused.value)
                RateLimitMiddleware(application, limiter, limits=parse_rules(GROUPED), descriptors=dict)
            else:
                RateLimitMiddleware(application, limiter, limits=parse_rules(SMALL), descriptors=dict)


@pytest.mark.slow
async def test_a_cluster_decides_all_levels_at_once() -> None:
    """Of every tenant, wherever it lies: its users share its limit, and nothing is charged for what is denied."""
    rules = parse_rules(GROUPED)
    tenants = [f"tenant-{number}" for number in range(30)]
    with ClusterFleet() as fleet:
        async with Limiter.connect(fleet.url, deadline=2.0, logger=NullLogger()) as limiter:

            async def visit(tenant: str, user: str) -> str:
                joint = await limiter.acquire_all(rules.matching({"tenant": tenant, "user": user}))
                assert not any(decision.degraded for decision in joint.decisions)
                return "passed" if joint.allowed else joint.binding.limit.name

            for tenant in tenants:
                assert [await visit(tenant, "ann") for _ in range(3)] == ["passed", "passed", "per-user"]
                assert [await visit(tenant, "bob") for _ in range(2)] == ["passed", "passed"]
                assert await visit(tenant, "cid") == "per-tenant"
            everybody = rules.limits[0].limit
            assert (await limiter.peek(everybody, "global")).remaining == 60_000 - 4 * len(tenants)
