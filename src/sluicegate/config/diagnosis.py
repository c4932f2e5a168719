"""Looks at the servers that a process would use, and says what an operator should do about what it finds."""

from __future__ import annotations

import time
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal

from sluicegate.config.switching import flags_told
from sluicegate.config.telling import shown_url
from sluicegate.ratelimit import decide_script
from sluicegate.utils import ConfigurationError, StoreAuthenticationError, StoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from sluicegate.config.composition import App
    from sluicegate.database import RedisClient

    Look = Callable[[App, RedisClient], Awaitable["Finding"]]

__all__ = ["Finding", "diagnose"]

State = Literal["ok", "warning", "wrong"]

PINGS: Final = 20
OFFSET_MS_MAX: Final = 500.0  # limits decide on the server's clock: only calendar windows and people compare it
LATENCY_RATIO_MAX: Final = 0.25  # of the deadline: beyond it a busy moment is a missed deadline
EVICTING: Final = "noeviction"
COMMAND_DEADLINE_US: Final = 2_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: What.
        state: Whether it is as it should be.
        found: What was found.
        advice: What to do; nothing where it is as it should be.
    """

    name: str
    state: State
    found: str
    advice: str = ""


async def diagnose(app: App) -> list[Finding]:
    """Return what there is to say of the servers of *app*; it is started for that, and closed.

    A server that is away, refuses, or is of the wrong kind is a finding, not an error.
    """
    client = app.client
    if client is None:
        advice = "set redis.url where several processes are to share their limits"
        return [Finding(name="store", state="ok", found="the memory of the process", advice=advice), _flags(app)]
    url = app.settings.redis.url
    found = [Finding(name="store", state="ok", found=shown_url(url.get_secret_value()) if url else "a client of yours")]
    found.append(_flags(app))
    try:
        reached = await _reached(app)
        found.append(reached)
        if reached.state != "wrong":
            found += [await _looked(name, look, app, client) for name, look in _LOOKS.items()]
    finally:
        await app.aclose()
    return found


def _flags(app: App) -> Finding:
    return Finding(name="flags", state="ok", found=flags_told(app.settings))


async def _reached(app: App) -> Finding:
    try:
        await app.limiter.engine.store.start()
    except StoreError as error:
        return Finding(
            name="connection", state="wrong", found=str(error), advice="see that the server runs, and redis.url"
        )
    except ConfigurationError as error:
        return Finding(name="fleet", state="wrong", found=error.problems[0].found, advice=error.problems[0].accepted)
    nodes = ", ".join(app.client.nodes()) if app.client is not None else ""
    return Finding(name="connection", state="ok", found=nodes)


async def _looked(name: str, look: Look, app: App, client: RedisClient) -> Finding:
    try:
        return await look(app, client)
    except StoreAuthenticationError as error:
        return Finding(name=name, state="ok", found=f"not allowed to ask ({error.reason})")
    except StoreError as error:
        return Finding(name=name, state="warning", found=str(error), advice="look again")


async def _version(_: App, client: RedisClient) -> Finding:
    facts = _facts(await client.execute("INFO", "server", deadline_us=COMMAND_DEADLINE_US))
    valkey = facts.get("valkey_version")
    return Finding(
        name="version", state="ok", found=f"Valkey {valkey}" if valkey else f"Redis {facts.get('redis_version')}"
    )


async def _user(_: App, client: RedisClient) -> Finding:
    name = (await client.execute("ACL", "WHOAMI", deadline_us=COMMAND_DEADLINE_US)).decode()
    if name != "default":
        return Finding(name="user", state="ok", found=name)
    advice = "make a user of its own, that may do no more than is needed: sluicegate config redis-acl"
    return Finding(name="user", state="warning", found="default, which may do everything", advice=advice)


async def _tls(app: App, _: RedisClient) -> Finding:
    url = app.settings.redis.url
    scheme = url.get_secret_value().partition("://")[0] if url is not None else ""
    if scheme.startswith("rediss"):
        return Finding(name="tls", state="ok", found="on")
    if scheme in {"unix", "embedded"}:
        return Finding(name="tls", state="ok", found="not needed: the server is on this machine")
    return Finding(name="tls", state="warning", found="off", advice="a URL that begins with rediss")


async def _eviction(_: App, client: RedisClient) -> Finding:
    facts = _facts(await client.execute("INFO", "memory", deadline_us=COMMAND_DEADLINE_US))
    policy, most = facts.get("maxmemory_policy", "unknown"), facts.get("maxmemory", "0")
    if policy == EVICTING or most == "0":
        return Finding(
            name="eviction", state="ok", found=f"{policy}, at most {int(most):,} bytes" if most != "0" else policy
        )
    advice = "maxmemory-policy noeviction: what is evicted is a limit that begins anew"
    return Finding(name="eviction", state="warning", found=f"{policy}, at most {int(most):,} bytes", advice=advice)


async def _clock(_: App, client: RedisClient) -> Finding:
    before = time.time()
    seconds, micros = await client.execute("TIME", deadline_us=COMMAND_DEADLINE_US)
    after = time.time()
    offset_ms = (int(seconds) + int(micros) / 1e6 - (before + after) / 2) * 1e3
    found = f"{offset_ms:+.1f} ms from this machine's, give or take {(after - before) * 500:.1f}"
    if abs(offset_ms) <= OFFSET_MS_MAX:
        return Finding(name="clock", state="ok", found=found)
    return Finding(name="clock", state="warning", found=found, advice="have both keep time by NTP")


async def _script(_: App, client: RedisClient) -> Finding:
    script = decide_script()
    (known,) = await client.execute("SCRIPT", "EXISTS", script.sha1, deadline_us=COMMAND_DEADLINE_US)
    state = "loaded" if known else "not loaded yet; the first request loads it"
    return Finding(name="script", state="ok", found=f"{script.sha1[:12]}, {state}")


async def _latency(app: App, client: RedisClient) -> Finding:
    times_ms = []
    for _ in range(PINGS):
        start = time.perf_counter()
        await client.execute("PING", deadline_us=COMMAND_DEADLINE_US)
        times_ms.append((time.perf_counter() - start) * 1e3)
    times_ms.sort()
    middle, deadline_ms = times_ms[PINGS // 2], app.settings.pool.deadline_ms
    found = f"{middle:.2f} ms in the middle, {times_ms[-1]:.2f} at most, of {deadline_ms:g} allowed"
    if middle <= deadline_ms * LATENCY_RATIO_MAX:
        return Finding(name="latency", state="ok", found=found)
    return Finding(
        name="latency", state="warning", found=found, advice="a server that is nearer, or a longer pool.deadline_ms"
    )


def _facts(reply: Any) -> dict[str, str]:  # noqa: ANN401 - as the server replies
    lines = reply.decode("utf-8", "replace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


_LOOKS: Final[Mapping[str, Look]] = MappingProxyType(
    {
        "version": _version,
        "user": _user,
        "tls": _tls,
        "eviction": _eviction,
        "clock": _clock,
        "script": _script,
        "latency": _latency,
    }
)
