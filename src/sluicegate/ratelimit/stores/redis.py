"""The store in Redis: requests travel in batches to one script, which decides them on the server's clock."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any, Literal, cast

from sluicegate.database import (
    BATCH_MAX,
    IN_FLIGHT_MAX,
    QUEUE_MAX,
    Batcher,
    DividedSlot,
    Keyspace,
    ScriptCall,
    load_bundle,
)
from sluicegate.ratelimit.stores.calendar_rules import CalendarRules
from sluicegate.ratelimit.stores.store import APART_ACCEPTED, PEEK, Reply
from sluicegate.ratelimit.stores.wire import Encoder, OutOfRange
from sluicegate.utils import (
    ConfigurationError,
    InvalidInputError,
    LimiterClosedError,
    ScriptError,
    StoreError,
    shape_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sluicegate.database import Argument, RedisClient, Script
    from sluicegate.monitoring import Logger
    from sluicegate.ratelimit.limit import Limit
    from sluicegate.ratelimit.stores.store import Member, Promise, Request
    from sluicegate.ratelimit.stores.wire import Outcome
    from sluicegate.utils import Clock

__all__ = ["DEADLINE_US", "Batching", "RedisStore", "allowed_script", "decide_script"]

START_DEADLINE_US = 1_000_000  # nobody waits for a decision yet
SPREAD = 4  # script calls' worth of work in a batch that is parted among hash tags: it keeps several servers busy
DEADLINE_US = 50_000  # a limiter stands before every request: later than this the fallback is the better answer


def decide_script() -> Script:
    """Return the script that decides, verified against its manifest."""
    return load_bundle("decide", resources.files("sluicegate.ratelimit"), "stores/script/manifest.json")


def allowed_script() -> Script:
    """Return the script that says what its user may not do, verified against its manifest."""
    return load_bundle("allowed", resources.files("sluicegate.ratelimit"), "stores/script/allowed.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Batching:
    """How requests are gathered.

    Attributes:
        requests_max: The most units of work in one script call, 1 to 1,000. Default 64.
        in_flight_max: The most batches under way at once, 1 to 16. Default: 2; 1 where keys have hash tags, for there a
            batch is several calls, which cost less the larger they are.
        queue_max: The most requests that wait, 1 to 1,000,000. Default 20,000.
    """

    requests_max: int = BATCH_MAX
    in_flight_max: int | None = None
    queue_max: int = QUEUE_MAX


class RedisStore:
    """State in Redis.

    Args:
        client: The server, or what acts as one.
        clock: This process's time: guesses the current calendar window, and decides nothing.
        logger: Told of values that could not be read.
        keyspace: Names the keys.
        deadline_us: The time for an answer, in microseconds.
        batching: How requests are gathered.
        script: The script that decides; only tests put in another.

    Attributes:
        coalesces: Whether requests that are alike travel once; may be changed at any time.
        marks: Whether states say which rule they are of where a limit has it so; may be changed at any time.
        place: Which hash tag the state of a limit and key has, where there are hash tags; see `DistantStore`.
        keyspace: Names the keys.
        on_bound: Called with each event loop that it belongs to from then on, in its thread.
    """

    source = "redis"
    at_once: Literal[False] = False

    def __init__(
        self,
        client: RedisClient,
        clock: Clock,
        logger: Logger,
        *,
        keyspace: Keyspace | None = None,
        deadline_us: int = DEADLINE_US,
        batching: Batching = Batching(),
        script: Script | None = None,
    ) -> None:
        self._client = client
        self._clock = clock
        self._logger = logger
        self.keyspace = self._keyspace = keyspace or Keyspace()
        self.on_bound: Callable[[asyncio.AbstractEventLoop], None] | None = None
        self._deadline_us = deadline_us
        self._batching = batching
        self.coalesces = self.marks = True
        self.place: Callable[[Limit, str], int] | None = self._place if self._keyspace.tags else None
        self._script = script or decide_script()
        self._calendars = CalendarRules()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._new_batcher()

    def ask(self, request: Request, promise: Promise, loop: asyncio.AbstractEventLoop) -> None:
        """Put *request* into the next batch; see `DistantStore`.

        Raises:
            LimiterClosedError: It is closed, or belongs to another event loop that still runs.
            InvalidInputError: Its limits do not lie together on the server.
        """
        if loop is not self._loop:
            self._bind(loop)
        members = len(request[1])
        if members > 1 and self._keyspace.tags:
            self._check_together(request[1])
        self._submit(request, promise, loop, members)

    def _place(self, limit: Limit, key: str) -> int:
        """Return which hash tag the state of *key* has."""
        return self._keyspace.tag(key, limit.plan.group)

    async def start(self) -> None:
        """Connect once; see `DistantStore`."""
        self._bind(asyncio.get_running_loop())
        await self._client.start()
        own, name = self._keyspace.fingerprint, self._keyspace.fingerprint_name
        found = await self._client.execute("SET", name, own, "NX", "GET", deadline_us=START_DEADLINE_US)
        if found is not None and found.decode("utf-8", "replace") != own:
            accepted = f"{own}, as this process has it; or a new generation: sluicegate config new-generation"
            raise ConfigurationError([InvalidInputError("fleet", shape_of(found.decode("utf-8", "replace")), accepted)])

    async def call(
        self, script: Script, keys: Sequence[Argument], args: Sequence[Argument], *, read_only: bool, deadline_us: int
    ) -> Any:  # noqa: ANN401 - whatever the script returns
        """Run a script that decides nothing; see `RedisClient.run`."""
        self._bind(asyncio.get_running_loop())
        return await self._client.run(script, keys, args, read_only=read_only, deadline_us=deadline_us)

    async def execute(self, *command: Argument, deadline_us: int) -> Any:  # noqa: ANN401 - whatever it replies
        """Send one command that decides nothing; see `RedisClient.execute`."""
        self._bind(asyncio.get_running_loop())
        return await self._client.execute(*command, deadline_us=deadline_us)

    async def begin_generation(self) -> None:
        """Have the fleet name keys as this process does from now on; what was counted under other names expires.

        Raises:
            StoreError: The server could not do it, or nobody knows whether it did.
        """
        self._bind(asyncio.get_running_loop())
        await self._client.start()
        name = self._keyspace.fingerprint_name
        await self._client.execute("SET", name, self._keyspace.fingerprint, deadline_us=START_DEADLINE_US)

    async def aclose(self) -> None:
        """Answer everybody who waits, then close the client; see `DistantStore`.

        Raises:
            LimiterClosedError: It belongs to another event loop that still runs.
        """
        if self._closed:
            return
        self._bind(asyncio.get_running_loop())
        self._closed = True
        await self._batcher.aclose()
        await self._client.aclose()

    def after_fork(self) -> None:
        """Forget the parent's requests and connections; see `DistantStore`."""
        self._client.after_fork()
        self._loop = None
        self._new_batcher()

    def check_loop(self) -> None:
        """Refuse to be closed by another event loop than the one that it belongs to, if that one still runs.

        Raises:
            LimiterClosedError: This is another.
        """
        if self._loop is not None and not self._loop.is_closed() and asyncio.get_running_loop() is not self._loop:
            raise LimiterClosedError("the limiter belongs to another event loop")

    def _bind(self, loop: asyncio.AbstractEventLoop) -> None:
        """Belong to *loop*; a loop that has ended leaves connections behind that no other can use."""
        if self._closed:
            raise LimiterClosedError("the limiter is closed")
        if self._loop is not None and loop is not self._loop:
            self.check_loop()
            self.after_fork()
        is_new = loop is not self._loop
        self._loop = loop
        if is_new and self.on_bound is not None:
            self.on_bound(loop)

    def _check_together(self, members: Sequence[Member]) -> None:
        tags = {self._place(limit, key) for limit, key, _ in members}
        if len(tags) > 1:
            found = f"keys of {len(tags)} hash tags, which no server decides at once"
            raise InvalidInputError("limits", found, APART_ACCEPTED)

    def _new_batcher(self) -> None:
        batching, is_parted = self._batching, self._keyspace.tags > 0
        self._batcher: Batcher[Request] = Batcher(
            self._send,
            deadline_us=self._deadline_us,
            batch_max=batching.requests_max * (SPREAD if is_parted else 1),
            in_flight_max=batching.in_flight_max or (1 if is_parted else IN_FLIGHT_MAX),
            queue_max=batching.queue_max,
        )
        self._submit = self._batcher.submit  # one look-up nearer

    async def _send(self, requests: Sequence[Request], left_us: int) -> Sequence[Reply | StoreError]:
        loop = asyncio.get_running_loop()
        due_s = loop.time() + left_us / 1_000_000
        outcomes = await self._run(requests, self._clock.now_us(), left_us)
        if OutOfRange not in map(type, outcomes):
            return cast("Sequence[Reply | StoreError]", outcomes)
        # This process's clock is in another window than the server's, whose time the answer brought.
        again = {at: outcome for at, outcome in enumerate(outcomes) if isinstance(outcome, OutOfRange)}
        now_us = next(iter(again.values())).now_us
        left_us = max(1, round((due_s - loop.time()) * 1_000_000))
        retried: Sequence[Outcome]
        try:
            retried = await self._run([requests[at] for at in again], now_us, left_us)
        except StoreError as error:  # the others have been decided
            retried = [error] * len(again)
        second = dict(zip(again, retried, strict=True))
        final = [second.get(at, outcome) for at, outcome in enumerate(outcomes)]
        return [
            ScriptError("decide", "the server's clock stands in none of the windows sent")
            if isinstance(outcome, OutOfRange)
            else outcome
            for outcome in final
        ]

    async def _run(self, requests: Sequence[Request], now_us: int, left_us: int) -> Sequence[Outcome]:
        """Have *requests* decided, those of one hash tag in one call, and all calls in one round trip a node."""
        if not self._keyspace.tags or len(requests) == 1:
            return await self._decide(requests, now_us, left_us)
        loop = asyncio.get_running_loop()
        due_s = loop.time() + left_us / 1_000_000
        outcomes: list[Any] = [None] * len(requests)  # each is replaced
        await self._decide_parts(requests, self._groups(requests), outcomes, now_us, left_us)
        divided = [[place] for place, outcome in enumerate(outcomes) if type(outcome) is DividedSlot]
        if divided:  # their slot moves, and each key by itself is on one side of it
            left_us = max(1, round((due_s - loop.time()) * 1_000_000))
            await self._decide_parts(requests, divided, outcomes, now_us, left_us)
        return outcomes

    async def _decide_parts(
        self,
        requests: Sequence[Request],
        parts: Sequence[Sequence[int]],
        outcomes: list[Any],
        now_us: int,
        left_us: int,
    ) -> None:
        """Have the requests at these places decided, each part in one call; what comes of it goes to their places."""
        own = [[requests[place] for place in places] for places in parts]
        encoders = [self._encoder(now_us) for _ in parts]
        calls = [
            ScriptCall(
                self._script,
                encoder.keys,
                args,
                read_only=_reads_only(group),
                deadline_us=left_us,
                divisible=len(group) > 1,
            )
            for encoder, group in zip(encoders, own, strict=True)
            for args in (encoder.encode(group),)
        ]
        sent_us = self._clock.monotonic_us()
        answers = await self._client.run_many(calls)
        for places, group, encoder, raw in zip(parts, own, encoders, answers, strict=True):
            told = (
                [raw] * len(group)
                if isinstance(raw, StoreError | DividedSlot)
                else self._told(encoder, raw, group, sent_us)
            )
            for place, outcome in zip(places, told, strict=True):
                outcomes[place] = outcome

    async def _decide(self, requests: Sequence[Request], now_us: int, left_us: int) -> Sequence[Outcome]:
        encoder = self._encoder(now_us)
        args = encoder.encode(requests)
        sent_us = self._clock.monotonic_us()
        raw = await self._client.run(
            self._script, encoder.keys, args, read_only=_reads_only(requests), deadline_us=left_us
        )
        return self._told(encoder, raw, requests, sent_us)

    def _encoder(self, now_us: int) -> Encoder:
        return Encoder(self._keyspace, self._calendars, now_us, coalesces=self.coalesces, marks=self.marks)

    def _told(self, encoder: Encoder, raw: list[int], requests: Sequence[Request], sent_us: int) -> Sequence[Outcome]:
        if raw[1]:
            self._logger.warning("state.unreadable", values=raw[1])
        return encoder.replies(raw, requests, sent_us)

    def _groups(self, requests: Sequence[Request]) -> Sequence[Sequence[int]]:
        """Return the places of the requests, those of one hash tag together, but no more than go in one call."""
        tag, most = self._keyspace.tag, self._batching.requests_max
        groups: dict[int, list[int]] = {}
        are_single = True
        for place, request in enumerate(requests):
            members = request[1]
            limit, key, _ = members[0]
            groups.setdefault(tag(key, limit.plan.group), []).append(place)
            are_single = are_single and len(members) == 1
        if are_single and max(map(len, groups.values())) <= most:
            return list(groups.values())
        return [part for places in groups.values() for part in _bounded(places, requests, most)]


def _bounded(places: Sequence[int], requests: Sequence[Request], most: int) -> Iterable[Sequence[int]]:
    """Cut into parts of so much work, each of at least one request."""
    part: list[int] = []
    weight = 0
    for place in places:
        own = len(requests[place][1])
        if part and weight + own > most:
            yield part
            part, weight = [], 0
        part.append(place)
        weight += own
    yield part


def _reads_only(requests: Sequence[Request]) -> bool:
    return all(request.verb == PEEK for request in requests)
