"""What holds in a plan: what it says itself, what it inherits, and what holds for everybody."""

from __future__ import annotations

import pytest
from tests.recording import RecordingLogger

from sluicegate import ConfigurationError, InvalidInputError, Limit, Limiter
from sluicegate.ratelimit.rules import KeyTemplate, LiveRules, Rule, Rules, largest_meeting, parse_rules
from sluicegate.testing import ManualClock

PLANS = """\
version: 1
limits:
  address: {rate: 100/minute, key: client_address}
  api: {rate: 10/minute, key: tenant}
plans:
  enterprise:
    inherits: pro
    limits:
      api: {off: true}
      reports: {rate: 50/day, match: {path: /reports/**}}
  free:
    limits:
      exports: {rate: 1/day, key: tenant, algorithm: fixed_window, match: {path: /exports}}
  pro:
    inherits: free
    limits:
      api: {rate: 1000/minute burst 50}
      exports: {rate: 100/day}
      reports: {rate: 5/day, key: user, match: {path: /reports}}
"""
REQUEST = {"client_address": "192.0.2.1", "tenant": "acme", "user": "ann", "path": "/exports"}


def limits_of(rules: Rules, plan: str | None, **more: str) -> dict[str, int]:
    """Return what limits a request of a plan: each limit's name with its rate."""
    described = {**REQUEST, **more, **({} if plan is None else {"plan": plan})}
    return {limit.name: limit.rates[0].limit for limit, _ in rules.matching(described)}


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        (None, {"address": 100, "api": 10}),
        ("unheard-of", {"address": 100, "api": 10}),
        ("free", {"address": 100, "api": 10, "exports": 1}),
        ("pro", {"address": 100, "api": 1000, "exports": 100}),
        ("enterprise", {"address": 100, "exports": 100}),
    ],
)
def test_the_plan_of_a_request_chooses(plan: str | None, expected: dict[str, int]) -> None:
    """A request has the limits of its plan; without one, or of one that nobody named, those that hold for everybody."""
    assert limits_of(parse_rules(PLANS), plan) == expected


def test_what_a_plan_does_not_say_it_inherits() -> None:
    """A limit that a plan changes keeps the fields that it does not name, whatever the order of the file."""
    rules = parse_rules(PLANS)
    exports = rules.named("enterprise")["exports"]
    assert exports.limit == Limit("exports", "100/day", algorithm="fixed_window")
    assert exports.match.as_json() == {"path": ["/exports"]}
    assert rules.named("enterprise")["reports"].match.as_json() == {"path": ["/reports/**"]}
    assert rules.named("enterprise")["reports"].key == KeyTemplate(("user",))
    assert rules.named("free")["address"] is rules.named()["address"]
    assert list(rules.plans) == ["enterprise", "free", "pro"]


def test_a_file_may_have_plans_alone() -> None:
    """A request of no plan is then not limited."""
    rules = parse_rules("version: 1\nplans: {free: {limits: {api: {rate: 1/s, key: user}}}}")
    assert limits_of(rules, "free") == {"api": 1}
    assert limits_of(rules, None) == {}


def test_toml_says_the_same() -> None:
    """Plans are tables within tables."""
    rules = parse_rules(
        "version = 1\n[plans.free.limits.api]\nrate = '1/s'\nkey = 'user'\n"
        "[plans.pro]\ninherits = 'free'\n[plans.pro.limits.api]\nrate = '2/s'\n",
        notation="toml",
    )
    assert limits_of(rules, "pro") == {"api": 2}


async def test_what_was_used_in_one_plan_counts_in_the_next() -> None:
    """A limit of one name is one state: who changes plan keeps what was used, under the new rate."""
    text = (
        "version: 1\nlimits:\n  api: {rate: 10/hour, algorithm: fixed_window, key: tenant}\n"
        "plans: {pro: {limits: {api: {rate: 100/hour}}}}\n"
    )
    rules = parse_rules(text)
    async with Limiter(clock=ManualClock(1_700_000_000.0)) as limiter:
        for _ in range(8):
            ((limit, key),) = rules.matching({"tenant": "acme"})
            assert (await limiter.acquire(limit, key)).allowed
        ((limit, key),) = rules.matching({"tenant": "acme", "plan": "pro"})
        assert (await limiter.acquire(limit, key)).remaining == 91


@pytest.mark.parametrize(
    ("plans", "problem"),
    [
        ("{}", "r.yaml:4:8: plans: found 0 plans; accepted: 1 to 100 plans"),
        ("[free]", "plans: found a list; accepted: a mapping from names"),
        ("{free: {}}", "r.yaml:4:9: plans.free: found nothing; accepted: a mapping with inherits or limits"),
        ("{free: {limits: {}}}", "plans.free.limits: found 0 rules"),
        ("{free: {inherit: x, limits: {api: {off: true}}}}", "plans.free.inherit: found a name that is not known"),
        ("{free: {inherits: x}}", "plans.free.inherits: found 'x'; accepted: nothing, for there is no other plan"),
        ("{free: {inherits: pr}, pro: {inherits: free}}", "plans.free.inherits: found 'pr'; accepted: another plan"),
        ("{free: {inherits: pr}, pro: {inherits: free}}", "(did you mean 'pro'?)"),
        ("{free: {inherits: [pro]}, pro: {inherits: free}}", "plans.free.inherits: found a list"),
        ("{a: {inherits: a}}", "r.yaml:4:23: plans.a.inherits: found a circle: a from a"),
        (
            "{z: {inherits: a}, a: {inherits: b}, b: {inherits: c}, c: {inherits: a}}",
            "plans.a.inherits: found a circle: a from b from c from a; accepted: a plan that does not inherit from it",
        ),
        ("{free: {limits: {ap: {rate: 1/s}}}}", "plans.free.limits.ap.key: found nothing; accepted: key: a descriptor"),
        ("{free: {limits: {ap: {off: true}}}}", "plans.free.limits.ap.off: found no limit of that name that holds"),
        ("{free: {limits: {api: {off: true, rate: 1/s}}}}", "api.off: found other fields beside it; accepted: off:"),
        ("{free: {limits: {api: {off: 1}}}}", "plans.free.limits.api.off: found 1; accepted: true or false"),
        ("{free: {limits: {api: {rate: 1/x}}}}", "plans.free.limits.api.rate: found '1/x'"),
        (
            "{free: {limits: {api: {algorithm: fixed_window}}}}",
            "r.yaml:4:42: plans.free.limits.api.algorithm: found another algorithm than in limits.api; accepted: the",
        ),
        (
            "{free: {limits: {api: {key: user}}}}",
            "r.yaml:4:36: plans.free.limits.api.key: found another key than in limits.api",
        ),
        (
            "{a: {limits: {x: {rate: 1/s, key: user}}}, b: {limits: {x: {rate: 1/s, key: host}}}}",
            "plans.b.limits.x.key: found another key than in plans.a.limits.x; accepted: the same; one name is",
        ),
        ("{'': {limits: {api: {rate: 1/s}}}}", "plans: found ''; accepted: text of 1 to 64 characters"),
    ],
)
def test_a_wrong_plan(plans: str, problem: str) -> None:
    """What is wrong with a plan is told at its place."""
    text = f"version: 1\nlimits:\n  api: {{rate: 1/s, key: tenant}}\nplans: {plans}\n"
    with pytest.raises(ConfigurationError) as caught:
        parse_rules(text, source="r.yaml")
    assert problem in str(caught.value)


def test_there_may_be_a_hundred_plans() -> None:
    """One more is refused."""
    text = "version: 1\nlimits: {api: {rate: 1/s, key: user}}\nplans:\n"
    text += "".join(f"  p{at}: {{limits: {{api: {{rate: 2/s}}}}}}\n" for at in range(100))
    assert len(parse_rules(text).plans) == 100
    with pytest.raises(ConfigurationError, match="found 101 plans; accepted: 1 to 100 plans"):
        parse_rules(text + "  more: {inherits: p0}\n")


def test_a_plan_has_no_more_rules_than_a_file() -> None:
    """What a plan inherits counts."""
    text = "version: 1\nlimits:\n" + "".join(f"  r{at}: {{rate: 1/s, key: user}}\n" for at in range(1_000))
    assert len(parse_rules(text + "plans: {a: {limits: {r0: {rate: 2/s}}}}").plans["a"]) == 1_000
    with pytest.raises(ConfigurationError, match=r"plans\.a: found 1001 rules; accepted: at most 1,000 rules"):
        parse_rules(text + "plans: {a: {limits: {more: {rate: 2/s, key: user}}}}")


def test_a_circle_is_told_once() -> None:
    """Whoever inherits from a circle is not told of it again."""
    text = "version: 1\nplans: {z: {inherits: a}, a: {inherits: b}, b: {inherits: a}, y: {inherits: z}}"
    with pytest.raises(ConfigurationError) as caught:
        parse_rules(text)
    assert len(caught.value.problems) == 1


def test_a_broken_rule_is_told_once() -> None:
    """Plans that change a rule with a problem do not repeat it."""
    text = "version: 1\nlimits: {api: {rate: 1/x, key: user}}\nplans: {a: {limits: {api: {rate: 2/s}}}}"
    with pytest.raises(ConfigurationError) as caught:
        parse_rules(text)
    assert len(caught.value.problems) == 1


def test_limits_of_one_name_share_a_state_however_rules_are_made() -> None:
    """Rules that a program makes are held to the same."""
    rule = Rule(limit=Limit("api", "1/s"), key=KeyTemplate(("user",)))
    other = Rule(limit=Limit("api", "1/s", algorithm="fixed_window"), key=KeyTemplate(("user",)))
    with pytest.raises(InvalidInputError, match=r"plans\['pro'\]\[0\]: found algorithm fixed_window of 'api'"):
        Rules((rule,), plans={"pro": (other,)})


def test_the_largest_meeting_may_be_in_a_plan() -> None:
    """How many rules meet one request is looked for in every plan."""
    meeting = largest_meeting(parse_rules(PLANS))
    assert meeting.request == "any method, path /exports, plan free"
    assert len(meeting.rules) == 3


def test_a_limit_is_found_by_name_and_plan_and_recalled_by_its_tag() -> None:
    """Who names limits names a plan, too; an id leads back to the limit that it was given for."""
    live = LiveRules(parse_rules(PLANS), ManualClock(), RecordingLogger())
    free, pro = live.find("api", "free"), live.find("api", "pro")
    assert free is not None
    assert pro is not None
    assert (free.limit.rates[0].limit, pro.limit.rates[0].limit) == (10, 1000)
    assert live.find("api", "enterprise") is None
    assert live.find("api", "unheard-of") is live.find("api") is free
    assert live.recall("api", pro.limit.plan.tag) is pro.limit
    assert live.recall("api", 7) is None
    assert list(live.named) == ["address", "api", "exports", "reports"]
