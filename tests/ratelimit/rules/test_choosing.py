"""Which rules cover a request is the same whether each is tried or they are found."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from sluicegate import Limit
from sluicegate.ratelimit.rules import Glob, KeyTemplate, Match, PathPattern, Rule, Rules

KEYS = [KeyTemplate(("user",)), KeyTemplate(("user",)), KeyTemplate(("tenant", "user")), KeyTemplate(("global",))]
segments = st.sampled_from(["a", "b", "", "*", "**", "a*"])
patterns = st.lists(segments, max_size=3).map(lambda parts: PathPattern("/" + "/".join(parts)))
anywhere = st.sampled_from([PathPattern("**"), PathPattern("*a"), PathPattern("/")])
matches = st.builds(
    lambda paths, users: Match(values=(*paths, *users)),
    st.lists(st.lists(patterns | anywhere, min_size=1, max_size=2).map(lambda some: ("path", tuple(some))), max_size=1),
    st.sampled_from([(), (("user", (Glob("u*"),)),)]),
)
requests = st.fixed_dictionaries(
    {},
    optional={
        "path": st.text(alphabet="ab/", max_size=6).map(lambda text: "/" + text) | st.sampled_from(["", "*", "a"]),
        "user": st.sampled_from(["", "u1", "x"]),
        "tenant": st.just("t"),
    },
)


rules_chosen = st.tuples(matches, st.sampled_from(KEYS), st.integers(1, 2))


@settings(max_examples=300)
@given(
    chosen=st.lists(rules_chosen, min_size=8, max_size=16) | st.lists(rules_chosen, min_size=1, max_size=8),
    request_=requests,
)
def test_what_is_found_is_what_trying_each_gives(
    chosen: list[tuple[Match, KeyTemplate, int]], request_: dict[str, str]
) -> None:
    """In the file's order, with each rule's key and cost, for any path and number of rules."""
    rules = Rules(
        tuple(
            Rule(limit=Limit(f"r{at}", "9/s"), key=key, match=match, cost=cost)
            for at, (match, key, cost) in enumerate(chosen)
        )
    )
    expected = []
    for rule in rules.limits:
        key = rule.key.key(request_)
        if rule.match.covers(request_) and key is not None:
            expected.append((rule.limit, key) if rule.cost == 1 else (rule.limit, key, rule.cost))
    assert rules.matching(request_) == expected
