"""Rules change while they are in force: whole and at once, or not at all."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

import pytest
from tests.recording import RecordingLogger

from sluicegate import ConfigurationError, InvalidInputError, Limiter
from sluicegate.integrations.asgi import RateLimitMiddleware
from sluicegate.ratelimit.rules import LiveRules, Rules
from sluicegate.testing import ManualClock

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

GOOD = "version: 1\nlimits:\n  api: {rate: 5/minute, key: client_address}\n  other: {rate: 7/minute, key: user}\n"
CHANGED = "version: 1\nlimits:\n  api: {rate: 9/minute, key: client_address}\n  other: {rate: 7/minute, key: user}\n"
RELOADS = 100
RELOAD_SECONDS_MAX = (
    0.5  # for each, though the loop never rests; a tenth of it is usual, also when the machine is shared
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a file of good rules."""
    path = tmp_path / "rules.yaml"
    path.write_text(GOOD, "utf-8")
    return path


def live_of(path: Path) -> tuple[LiveRules, RecordingLogger, ManualClock]:
    """Return the rules of a file, with what is told of them."""
    logger, clock = RecordingLogger(), ManualClock(1_700_000_000.0)
    return LiveRules.of_file(path, clock, logger), logger, clock


async def test_rules_of_a_changed_file_come_into_force(file: Path) -> None:
    """What did not change stays the very same, so that what is known of it stays known."""
    live, logger, _ = live_of(file)
    before = dict(live.named)
    file.write_text(CHANGED, "utf-8")
    assert await live.reload()
    assert live.named["api"].rates[0].limit == 9
    assert live.named["other"] is before["other"]
    assert live.current.limits[1].limit is before["other"]
    assert ("info", "rules.reloaded", {"limits": 2, "changed": 1, "gone": 0}) in logger.events


async def test_a_file_that_is_as_it_was_is_not_read_again(file: Path) -> None:
    """Whoever touches it changes nothing."""
    live, logger, _ = live_of(file)
    current = live.current
    os.utime(file)
    assert await live.reload(if_changed=True)
    assert live.current is current
    assert logger.events == []


def remove(path: Path) -> None:
    """Take the file away."""
    path.unlink()


def become_directory(path: Path) -> None:
    """Put a directory in its place."""
    path.unlink()
    path.mkdir()


def become_loop(path: Path) -> None:
    """Put a link to itself in its place."""
    path.unlink()
    path.symlink_to(path)


def become(content: bytes) -> Callable[[Path], None]:
    """Return what writes *content*."""

    def write(path: Path) -> None:
        path.write_bytes(content)

    write.__name__ = repr(content[:24])
    return write


BROKEN: list[Callable[[Path], None]] = [
    remove,
    become_directory,
    become_loop,
    become(b""),
    become(GOOD[:30].encode()),
    become(GOOD.encode()[:-10]),
    become(bytes(range(256))),
    become(b"\xff\xfe" + GOOD.encode("utf-16-le")),
    become(b"version: 2\nlimits: {}\n"),
    become(b"version: 1\n"),
    become(b"version: 1\nlimits: {}\n"),
    become(b"version: 1\nlimits: []\n"),
    become(GOOD.replace("rate", "rat").encode()),
    become(GOOD.replace("5/minute", "5/fortnight").encode()),
    become(GOOD.replace("client_address", "client_adress").encode()),
    become(GOOD.replace("other", "api").encode()),
    become(b"version: 1\nlimits: &a\n  api: *a\n"),
    become(b"version: 1\nlimits: !!python/object/apply:os.system [true]\n"),
    become(b"\t" + GOOD.encode()),
    become(GOOD.encode() + b"#" * 300_000),
    become(b"{" * 5_000),
    become(GOOD.encode() + b"\0"),
]


@pytest.mark.parametrize("break_it", BROKEN, ids=lambda function: function.__name__)
async def test_the_last_good_rules_stay_when_the_file_is_broken(file: Path, break_it: Callable[[Path], None]) -> None:
    """Each problem is told, since when it is so, and a mended file comes into force."""
    live, logger, clock = live_of(file)
    current = live.current
    break_it(file)
    assert not await live.reload()
    assert live.current is current
    assert live.state.stale
    assert live.state.problems
    assert live.state.since_us == clock.now_us()
    assert "rules.refused" in [event for _, event, _ in logger.events]
    clock.advance(5)
    assert not await live.reload(if_changed=True)
    assert live.state.since_us == clock.now_us() - 5_000_000
    if file.is_dir() and not file.is_symlink():
        file.rmdir()
    else:
        file.unlink(missing_ok=True)
    file.write_text(CHANGED, "utf-8")
    assert await live.reload(if_changed=True)
    assert not live.state.stale
    assert live.named["api"].rates[0].limit == 9


def test_a_file_that_is_broken_at_first_is_an_error(tmp_path: Path) -> None:
    """There are no good rules to stay."""
    with pytest.raises(ConfigurationError):
        live_of(tmp_path / "missing.yaml")


async def test_rules_that_somebody_cannot_use_do_not_come_into_force(file: Path) -> None:
    """A middleware to which nobody supplies what they count by keeps the last ones that it can use."""
    file.write_text(GOOD.replace("user", "path"), "utf-8")
    live, _, _ = live_of(file)
    async with Limiter() as limiter:
        RateLimitMiddleware(_application, limiter, limits=live)
        file.write_text(GOOD.replace("user", "tenant"), "utf-8")
        assert not await live.reload()
        assert live.named["other"].rates[0].limit == 7
        with pytest.raises(InvalidInputError):
            RateLimitMiddleware(_application, limiter, limits=live_of(file)[0])


async def test_rules_that_another_refuses_are_not_asked_by_the_first(file: Path) -> None:
    """A middleware that could use the new rules goes on with the last ones when somebody else cannot."""
    file.write_text(GOOD.replace("user", "path"), "utf-8")
    live, _, _ = live_of(file)

    def refuse_nine(rules: Rules) -> None:
        if rules.limits[0].limit.rates[0].limit == 9:
            raise InvalidInputError("rules", "nine", "fewer")

    async with Limiter() as limiter:
        middleware = RateLimitMiddleware(_application, limiter, limits=live)
        live.check(refuse_nine)
        file.write_text(CHANGED.replace("user", "path"), "utf-8")
        assert not await live.reload()
        scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "client": ("192.0.2.1", 1)}
        await middleware(scope, _receive, _nothing)  # type: ignore[arg-type] # messages of a test
    rates = {decision.limit.name: decision.limit.rates[0].limit for decision in scope["sluicegate.decisions"]}
    assert rates == {"api": 5, "other": 7}


async def test_roll_outs_are_told_as_they_go_on(file: Path) -> None:
    """The log says what began, how far it went, what it leads to, and that it ended; what stays is not told again."""
    rule = "  api: {{rate: 5/minute, key: client_address{}}}\n"
    steps = [
        (", rollout: {rate: 3/minute, percent: 10}", (None, 10, "api (3/minute gcra)")),
        (", rollout: {rate: 3/minute, percent: 20}", (10, 20, "api (3/minute gcra)")),
        (", rollout: {percent: 20, rate: 3/minute}", None),
        (", rollout: {rate: 4/minute, percent: 20}", (20, 20, "api (4/minute gcra)")),
        ("", (20, None, "none")),
    ]
    text = "version: 1\nlimits:\n" + rule
    file.write_text(text.format(steps[0][0]), "utf-8")
    live, logger, _ = live_of(file)
    for rollout, told in steps:
        file.write_text(text.format(rollout), "utf-8")
        assert await live.reload()
        events = [(each["before"], each["percent"], each["becomes"]) for each in logger.named("rules.rollout")]
        assert events == ([told] if told else [])
        logger.events.clear()
        assert {limit.name for limit in live.current.limits[0].limits} == {"api"}


async def test_another_percentage_is_no_change_of_a_limit(file: Path) -> None:
    """The very limits stay, of both sides, so that what is known of them stays known."""
    text = "version: 1\nlimits: {{api: {{rate: 5/minute, key: user, rollout: {{mode: leased, percent: {}}}}}}}\n"
    file.write_text(text.format(0), "utf-8")
    live, logger, _ = live_of(file)
    before = {id(limit) for limit in live.current.limits[0].limits}
    file.write_text(text.format(60), "utf-8")
    assert await live.reload()
    assert {id(limit) for limit in live.current.limits[0].limits} == before
    assert logger.named("rules.reloaded") == [{"limits": 1, "changed": 0, "gone": 0}]


async def test_what_is_surely_wrong_is_a_warning_once(file: Path) -> None:
    """It is told at the start or at the reload that brings it, and again only when it was gone meanwhile."""
    text = "version: 1\nlimits:\n  api: {{rate: 5/minute, key: client_address, cost: {}}}\n"
    file.write_text(text.format(9), "utf-8")
    live, logger, _ = live_of(file)
    (doubt,) = logger.named("rules.doubtful")
    assert doubt["found"] == "a cost of 9, which never fits a limit of 5"
    for content, lines in (
        ("# moved\n" + text.format(9), 1),
        (text.format(8), 2),
        (text.format(5), 2),
        (text.format(8), 3),
    ):
        file.write_text(content, "utf-8")
        assert await live.reload()
        assert len(logger.named("rules.doubtful")) == lines


async def _nothing(_message: Any) -> None:
    pass


async def _application(scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def test_a_hundred_reloads_under_load_misjudge_nobody(file: Path) -> None:
    """Every request is decided by the rules before or after, whole: both its limits are of one file."""
    live, _, _ = live_of(file)
    rule = "{{rate: {0}/minute, key: client_address}}"
    text = f"version: 1\nlimits:\n  first: {rule}\n  second: {rule}\n"
    file.write_text(text.format(1_000_000), "utf-8")
    assert await live.reload()
    served = over = 0
    async with Limiter() as limiter:
        middleware = RateLimitMiddleware(_application, limiter, limits=live)

        async def visit() -> None:
            nonlocal served, over
            while not done.is_set():
                scope: dict[str, Any] = {
                    "type": "http",
                    "method": "GET",
                    "path": "/",
                    "headers": [],
                    "client": ("192.0.2.1", 1),
                }
                statuses: list[int] = []

                async def send(message: dict[str, Any], statuses: list[int] = statuses) -> None:
                    if message["type"] == "http.response.start":
                        statuses.append(message["status"])

                await middleware(scope, _receive, send)  # type: ignore[arg-type] # messages of a test
                assert statuses == [200]
                rates = {decision.limit.rates[0].limit for decision in scope["sluicegate.decisions"]}
                assert len(scope["sluicegate.decisions"]) == 2
                assert len(rates) == 1
                served += 1
                await asyncio.sleep(0)

        done = asyncio.Event()
        visitors = [asyncio.create_task(visit()) for _ in range(8)]
        async with asyncio.timeout(RELOADS * RELOAD_SECONDS_MAX):
            for number in range(RELOADS):
                file.write_text(text.format(1_000_000 + number), "utf-8")
                over += await live.reload()
        done.set()
        await asyncio.gather(*visitors)
    assert over == RELOADS
    assert served > RELOADS


async def _receive() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}


@pytest.mark.slow
@pytest.mark.parametrize("way", ["in place", "replaced", "link"])
async def test_the_watch_sees_however_the_file_is_changed(tmp_path: Path, way: str) -> None:
    """Written in place, replaced by another, or a link that leads elsewhere, as orchestrators do it."""
    path = tmp_path / "rules.yaml"
    if way == "link":
        for name, text in (("one", GOOD), ("two", CHANGED)):
            (tmp_path / name).mkdir()
            (tmp_path / name / "rules.yaml").write_text(text, "utf-8")
        (tmp_path / "..data").symlink_to("one")
        path.symlink_to("..data/rules.yaml")
    else:
        path.write_text(GOOD, "utf-8")
    live, _, _ = live_of(path)
    watching = asyncio.create_task(live.watch())
    await asyncio.sleep(0.3)
    match way:
        case "in place":
            path.write_text(CHANGED, "utf-8")
        case "replaced":
            (tmp_path / "new").write_text(CHANGED, "utf-8")
            (tmp_path / "new").replace(path)
        case _:
            (tmp_path / "..new").symlink_to("two")
            (tmp_path / "..new").replace(tmp_path / "..data")
    async with asyncio.timeout(10):
        while live.named["api"].rates[0].limit != 9:  # noqa: ASYNC110 - what is waited for is another's doing
            await asyncio.sleep(0.02)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    assert not live.state.stale
