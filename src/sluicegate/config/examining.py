"""Looks at one server after another: its version, whom it takes us for, what it may forget, its clock and its speed."""

from __future__ import annotations

import time
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal

from sluicegate.config.mending import advice_for
from sluicegate.database import address_of, needed_calls, needless_calls, tags_for
from sluicegate.ratelimit import allowed_script, decide_script
from sluicegate.utils import StoreAuthenticationError, StoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from sluicegate.config.environments import Settings
    from sluicegate.database import Ask

    Look = Callable[[Settings, Ask], Awaitable["Seen"]]

__all__ = ["LOOKS", "STATES", "Seen", "State", "looked", "scheme_of"]

State = Literal["ok", "warning", "wrong"]
STATES: Final = ("ok", "warning", "wrong")

ASKED: Final = 20
OFFSET_MS_MAX: Final = 500.0  # limits decide on the server's clock: only calendar windows and people compare it
LATENCY_RATIO_MAX: Final = 0.25  # of the deadline: beyond it a busy moment is a missed deadline
EVICTING: Final = "noeviction"
COMMAND_DEADLINE_US: Final = 2_000_000
ACL_ADVICE: Final = "give it a user of its own that may do no more than is needed: sluicegate config redis-acl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What one look at one server found.

    Attributes:
        state: Whether it is as it should be.
        found: What was found.
        advice: What to do about it.
        measure: How bad it is among servers whose state is the same.
    """

    state: State
    found: str
    advice: str = ""
    measure: float = 0.0


async def looked(look: Look, settings: Settings, ask: Ask) -> Seen:
    """Return what *look* finds; where the server refuses or does not answer, that."""
    try:
        return await look(settings, ask)
    except StoreAuthenticationError as error:
        return Seen(state="ok", found=f"not allowed to ask ({error.reason})")
    except StoreError as error:
        return Seen(state="warning", found=str(error), advice=advice_for(error))


def scheme_of(settings: Settings) -> str:
    """Return what the URL of the servers begins with, in small letters."""
    url = settings.redis.url
    return address_of(url.get_secret_value()).scheme if url is not None else ""


async def _version(_: Settings, ask: Ask) -> Seen:
    facts = _facts(await ask("INFO", "server", deadline_us=COMMAND_DEADLINE_US))
    valkey, redis = facts.get("valkey_version"), facts.get("redis_version", "")
    numbers = [int(each) for each in (valkey or redis).split(".")[:2] if each.isdigit()]
    age = -(100 * numbers[0] + numbers[-1]) if numbers else 0  # of several the oldest is told
    return Seen(state="ok", found=f"Valkey {valkey}" if valkey else f"Redis {redis}", measure=age)


async def _user(settings: Settings, ask: Ask) -> Seen:
    if scheme_of(settings) == "embedded":
        return Seen(state="ok", found="its process's own server, which nobody else can reach")
    name = (await ask("ACL", "WHOAMI", deadline_us=COMMAND_DEADLINE_US)).decode()
    if name != "default":
        return Seen(state="ok", found=name)
    return Seen(state="warning", found="default, which everybody is who names no other", advice=ACL_ADVICE)


async def _acl(settings: Settings, ask: Ask) -> Seen:
    """Have the server say what the user may do, which a script may ask whatever else its user may."""
    redis = settings.redis
    url = redis.url.get_secret_value() if redis.url is not None else ""
    needed = needed_calls(redis.key_prefix, on_cluster=bool(tags_for(url)), url=url)
    needless = needless_calls(redis.key_prefix)
    script = allowed_script()
    try:
        await ask("SCRIPT", "LOAD", script.source, deadline_us=COMMAND_DEADLINE_US)
        calls = (*needed.values(), *needless.values())
        refused = await ask("EVALSHA_RO", script.sha1, 0, *calls, deadline_us=COMMAND_DEADLINE_US)
    except StoreAuthenticationError as error:
        return Seen(state="wrong", found=f"may not run scripts ({error.reason})", advice=ACL_ADVICE)
    names = [*needed, *needless]
    barred = {names[at - 1] for at in refused}
    missing = [name for name in needed if name in barred]
    if missing:
        found = f"may not {', '.join(missing)}, which {'are' if len(missing) > 1 else 'is'} needed"
        return Seen(state="wrong", found=found, advice=ACL_ADVICE, measure=len(missing))
    more = [name for name in needless if name not in barred]
    if not more or scheme_of(settings) == "embedded":
        return Seen(state="ok", found="may do all that is needed" + ("" if more else ", and no harm"))
    return Seen(state="warning", found=f"may do what is not needed: {', '.join(more)}", advice=ACL_ADVICE)


async def _tls(settings: Settings, _: Ask) -> Seen:
    scheme = scheme_of(settings)
    if scheme.startswith("rediss"):
        return Seen(state="ok", found="on")
    if scheme in {"unix", "embedded"}:
        return Seen(state="ok", found="not needed: the server is on this machine")
    return Seen(state="warning", found="off", advice="a URL that begins with rediss")


async def _eviction(_: Settings, ask: Ask) -> Seen:
    facts = _facts(await ask("INFO", "memory", deadline_us=COMMAND_DEADLINE_US))
    policy, most = facts.get("maxmemory_policy", "unknown"), facts.get("maxmemory", "0")
    found = f"{policy}, at most {int(most):,} bytes" if most != "0" else policy
    if policy == EVICTING or most == "0":
        return Seen(state="ok", found=found)
    advice = "maxmemory-policy noeviction: what is evicted is a limit that begins anew"
    return Seen(state="warning", found=found, advice=advice)


async def _clock(_: Settings, ask: Ask) -> Seen:
    before = time.time()
    seconds, micros = await ask("TIME", deadline_us=COMMAND_DEADLINE_US)
    after = time.time()
    offset_ms = (int(seconds) + int(micros) / 1e6 - (before + after) / 2) * 1e3
    found = f"{offset_ms:+.1f} ms from this machine's, give or take {(after - before) * 500:.1f}"
    if abs(offset_ms) <= OFFSET_MS_MAX:
        return Seen(state="ok", found=found, measure=abs(offset_ms))
    return Seen(state="warning", found=found, advice="have both keep time by NTP", measure=abs(offset_ms))


async def _script(_: Settings, ask: Ask) -> Seen:
    script = decide_script()
    (known,) = await ask("SCRIPT", "EXISTS", script.sha1, deadline_us=COMMAND_DEADLINE_US)
    state = "loaded" if known else "not loaded yet; the first request loads it"
    return Seen(state="ok", found=f"{script.sha1[:12]}, {state}", measure=0 if known else 1)


async def _latency(settings: Settings, ask: Ask) -> Seen:
    times_ms = []
    for _ in range(ASKED):
        start = time.perf_counter()
        await ask("TIME", deadline_us=COMMAND_DEADLINE_US)  # which the least user may ask, too
        times_ms.append((time.perf_counter() - start) * 1e3)
    times_ms.sort()
    middle, deadline_ms = times_ms[ASKED // 2], settings.pool.deadline_ms
    found = f"{middle:.2f} ms in the middle, {times_ms[-1]:.2f} at most, of {deadline_ms:g} allowed"
    if middle <= deadline_ms * LATENCY_RATIO_MAX:
        return Seen(state="ok", found=found, measure=middle)
    advice = "a server that is nearer, or a longer pool.deadline_ms"
    return Seen(state="warning", found=found, advice=advice, measure=middle)


def _facts(reply: Any) -> dict[str, str]:  # noqa: ANN401 - as the server replies
    lines = reply.decode("utf-8", "replace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


LOOKS: Final[Mapping[str, Look]] = MappingProxyType(
    {
        "version": _version,
        "user": _user,
        "acl": _acl,
        "tls": _tls,
        "eviction": _eviction,
        "clock": _clock,
        "script": _script,
        "latency": _latency,
    }
)
