"""Limits that the application knows: asked once, remembered, and never in the way of a request for long."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from tests.integrations.test_asgi import answered, fields, hello, http_scope, limiter
from tests.recording import RecordingLogger

from sluicegate import ConfigurationError, InvalidInputError, Limit
from sluicegate.integrations import RateLimitMiddleware
from sluicegate.ratelimit.rules import ProvidedLimits, parse_rules
from sluicegate.testing import ManualClock

if TYPE_CHECKING:
    from collections.abc import Mapping

FILE = Limit("api", "10/minute")
ACME = {"tenant": "acme"}


class Provider:
    """Answers with what it holds, after a pause, and counts who asks."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.pause_s = 0.0

    async def limit(self, name: str, descriptors: Mapping[str, str]) -> Any:
        """Answer."""
        self.asked.append((name, dict(descriptors)))
        await asyncio.sleep(self.pause_s)
        answer = self.answers.get(descriptors["tenant"])
        if isinstance(answer, Exception):
            raise answer
        return answer


class Asker:
    """Asks as the middleware does."""

    def __init__(self, provider: Provider, **settings: Any) -> None:
        self.clock, self.logger = ManualClock(), RecordingLogger()
        self.provided = ProvidedLimits(provider, clock=self.clock, logger=self.logger, **settings)

    async def rate(self, tenant: str = "acme") -> int:
        """Return the rate that holds for a tenant."""
        descriptors = {"tenant": tenant}
        limit, is_missing = self.provided.known(FILE, tenant, descriptors)
        if is_missing:
            await self.provided.learn(FILE, tenant, descriptors)
            limit, _ = self.provided.known(FILE, tenant, descriptors)
        return limit.rates[0].limit


def api(rate: int) -> Limit:
    """Return the limit that a provider knows."""
    return Limit("api", f"{rate}/minute")


async def test_an_answer_is_remembered_and_asked_for_anew_when_it_is_old() -> None:
    """An old answer is used while the new one is fetched, so nobody waits but for the very first."""
    provider = Provider(acme=api(50))
    asker = Asker(provider, fresh_s=60)
    assert [await asker.rate() for _ in range(3)] == [50, 50, 50]
    assert provider.asked == [("api", ACME)]
    provider.answers["acme"] = api(70)
    asker.clock.advance(59.9)
    assert await asker.rate() == 50
    asker.clock.advance(0.1)
    assert await asker.rate() == 50
    await asyncio.sleep(0.01)
    assert await asker.rate() == 70
    assert len(provider.asked) == 2


async def test_nothing_is_an_answer_too() -> None:
    """A customer of whom the provider knows nothing has the limit of the file, and is not asked for each time."""
    provider = Provider()
    asker = Asker(provider)
    assert [await asker.rate() for _ in range(5)] == [10] * 5
    assert len(provider.asked) == 1


async def test_many_who_wait_for_one_answer_ask_once() -> None:
    """A crowd of one customer is one question; one of them who leaves takes nothing from the others."""
    provider = Provider(acme=api(50))
    provider.pause_s = 0.02
    asker = Asker(provider)
    crowd = [asyncio.create_task(asker.rate()) for _ in range(20)]
    await asyncio.sleep(0.005)
    crowd[0].cancel()
    rates = await asyncio.gather(*crowd, return_exceptions=True)
    assert isinstance(rates[0], asyncio.CancelledError)
    assert rates[1:] == [50] * 19
    assert len(provider.asked) == 1


async def test_who_fails_is_asked_again_after_a_while_and_told_of_once() -> None:
    """Without an older answer the limit of the file holds; requests do not wait for each failure."""
    provider = Provider(acme=OSError("no route"))
    asker = Asker(provider)
    assert [await asker.rate() for _ in range(5)] == [10] * 5
    assert len(provider.asked) == 1
    asker.clock.advance(1)
    provider.answers["acme"] = api(50)
    assert await asker.rate() == 50
    (event,) = asker.logger.named("limits.unprovided")
    assert (event["limit"], event["error"]) == ("api", "no route")


async def test_many_failures_are_a_line_now_and_then() -> None:
    """A provider that is away for everybody is told of every ten seconds, not for every customer."""
    asker = Asker(Provider(a=OSError("away"), b=OSError("away"), c=OSError("away")))
    assert [await asker.rate(tenant) for tenant in "ab"] == [10, 10]
    assert len(asker.logger.named("limits.unprovided")) == 1
    asker.clock.advance(10)
    assert await asker.rate("c") == 10
    assert len(asker.logger.named("limits.unprovided")) == 2


async def test_an_older_answer_is_used_while_the_provider_fails() -> None:
    """For so long as it may be stale; then the limit of the file holds."""
    provider = Provider(acme=api(50))
    asker = Asker(provider, fresh_s=60, stale_s=600)
    assert await asker.rate() == 50
    provider.answers["acme"] = OSError("away")
    for _ in range(10):
        asker.clock.advance(60)
        assert await asker.rate() == 50
        await asyncio.sleep(0.001)
    assert len(provider.asked) == 11
    asker.clock.advance(61)
    assert await asker.rate() == 10
    provider.answers["acme"] = api(70)
    asker.clock.advance(1)
    assert await asker.rate() == 70


async def test_nobody_waits_longer_than_the_time_out() -> None:
    """A provider that hangs is given up, and the log says after how long."""
    provider = Provider(acme=api(50))
    provider.pause_s = 30
    asker = Asker(provider, timeout_s=0.02)
    async with asyncio.timeout(5):
        assert await asker.rate() == 10
    (event,) = asker.logger.named("limits.unprovided")
    assert event["error"] == "no answer within 0.02 s"


@pytest.mark.parametrize(
    "answer", [5, "50/minute", Limit("other", "1/s"), Limit("api", "50/minute", algorithm="fixed_window")]
)
async def test_what_is_no_such_limit_is_a_failure(answer: Any) -> None:
    """A limit of another name, or one that would not share the state, is not believed, and the log says why."""
    asker = Asker(Provider(acme=answer))
    assert await asker.rate() == 10
    assert "shares the state of api" in asker.logger.named("limits.unprovided")[0]["error"]


async def test_it_remembers_so_many_and_no_more() -> None:
    """Who was used least recently is forgotten first."""
    provider = Provider(a=api(1), b=api(2), c=api(3))
    asker = Asker(provider, keys_max=2)
    assert [await asker.rate(tenant) for tenant in "ababac"] == [1, 2, 1, 2, 1, 3]
    assert len(provider.asked) == 3
    assert [await asker.rate(tenant) for tenant in "acb"] == [1, 3, 2]
    assert [descriptors["tenant"] for _, descriptors in provider.asked] == ["a", "b", "c", "b"]


async def test_only_so_many_questions_are_under_way() -> None:
    """A crowd of customers whom nobody knows yet is not let loose on it: who is too many has the file's limit."""
    provider = Provider()
    provider.pause_s = 0.05
    asker = Asker(provider)
    assert set(await asyncio.gather(*(asker.rate(f"t{at}") for at in range(1_100)))) == {10}
    assert len(provider.asked) == 1_000


async def test_it_may_remember_a_single_answer() -> None:
    """One is enough where there is one customer at a time."""
    provider = Provider(a=api(1), b=api(2))
    asker = Asker(provider, keys_max=1)
    assert [await asker.rate(tenant) for tenant in "aabba"] == [1, 1, 2, 2, 1]
    assert len(provider.asked) == 3


async def test_an_answer_that_does_not_go_with_a_changed_file_is_not_used() -> None:
    """After a reload with another algorithm the file's own limit holds."""
    asker = Asker(Provider(acme=api(50)))
    assert await asker.rate() == 50
    changed = Limit("api", "20/minute", algorithm="fixed_window")
    assert asker.provided.known(changed, "acme", ACME) == (changed, False)


@pytest.mark.parametrize(
    "settings", [{"keys_max": 0}, {"fresh_s": 0}, {"stale_s": -1}, {"timeout_s": 0}, {"timeout_s": "1"}]
)
def test_wrong_settings_are_refused(settings: dict[str, Any]) -> None:
    """Each setting has its bounds, and is named."""
    with pytest.raises(InvalidInputError, match=f"^{next(iter(settings))}: found"):
        ProvidedLimits(Provider(), **settings)


RULES = """\
version: 1
limits:
  api: {rate: 10/minute, key: tenant, provided: tenant}
  other: {rate: 99/minute, key: path}
  failed: {rate: 9/minute, key: tenant, provided: [tenant], charge: {status: 200}, cost: 2, algorithm: fixed_window}
"""


async def test_the_middleware_asks_for_those_rules_that_say_so() -> None:
    """With what they depend on and nothing else; other rules, and requests without it, are as the file says."""

    class Knowing(Provider):
        async def limit(self, name: str, descriptors: Mapping[str, str]) -> Any:
            await super().limit(name, descriptors)
            rate = f"{50 if descriptors['tenant'] == 'acme' else 7}/minute"
            return Limit(name, rate, algorithm="fixed_window" if name == "failed" else "gcra")

    provider = Knowing()
    app = RateLimitMiddleware(
        hello,
        limiter(),
        limits=parse_rules(RULES),
        descriptors=lambda scope: {"tenant": scope["path"].strip("/")},
        provided=ProvidedLimits(provider),
    )

    async def policies(path: str) -> str:
        return fields((await answered(app, http_scope(path=path)))[0])["ratelimit-policy"]

    for _ in range(3):
        assert await policies("/acme") == '"api";q=50;w=60, "other";q=99;w=60, "failed";q=50;w=60'
    assert await policies("/blue") == '"api";q=7;w=60, "other";q=99;w=60, "failed";q=7;w=60'
    assert await policies("/") == '"other";q=99;w=60'
    assert sorted(provider.asked, key=str) == [
        (name, {"tenant": tenant}) for name in ("api", "failed") for tenant in ("acme", "blue")
    ]


def test_a_rule_that_nobody_provides_for_is_refused() -> None:
    """It would never be asked for, so the mistake is told at the start; everybody is no dependence."""
    with pytest.raises(InvalidInputError, match="rule 'api': provided: found nobody who provides"):
        RateLimitMiddleware(hello, limiter(), limits=parse_rules(RULES), descriptors=lambda _: {})
    with pytest.raises(ConfigurationError, match=r"limits\.a\.provided: found global; accepted: a descriptor"):
        parse_rules("version: 1\nlimits: {a: {rate: 1/s, key: user, provided: global}}")
    with pytest.raises(ConfigurationError, match=r"limits\.a\.provided: found 'tenent'.*did you mean 'tenant'"):
        parse_rules("version: 1\nlimits: {a: {rate: 1/s, key: user, provided: tenent}}")
