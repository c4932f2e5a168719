"""Looks at the servers that a process would use, and says what an operator should do about what it finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sluicegate.config.examining import COMMAND_DEADLINE_US, LOOKS, STATES, looked
from sluicegate.config.mending import advice_for
from sluicegate.config.switching import flags_told
from sluicegate.config.telling import shown_url
from sluicegate.ratelimit import RedisStore
from sluicegate.utils import ConfigurationError, StoreAuthenticationError, StoreError, shape_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sluicegate.config.composition import App
    from sluicegate.config.examining import Look, Seen, State
    from sluicegate.database import Ask, RedisClient

__all__ = ["Finding", "diagnose"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: What.
        state: Whether it is as it should be.
        found: What was found; of several servers where it is worst.
        advice: What to do; nothing where it is as it should be.
        node: Which of several servers that is; nothing where all are alike.
    """

    name: str
    state: State
    found: str
    advice: str = ""
    node: str = ""


async def diagnose(app: App) -> list[Finding]:
    """Return what there is to say of the servers of *app*, of each of its masters; it is closed in the end.

    A server that is away, refuses, or is of the wrong kind is a finding, not an error. Nothing is written.
    """
    client = app.client
    if client is None:
        advice = "set redis.url where several processes are to share their limits"
        return [Finding(name="store", state="ok", found="the memory of the process", advice=advice), _flags(app)]
    url = app.settings.redis.url
    found = [Finding(name="store", state="ok", found=shown_url(url.get_secret_value()) if url else "a client of yours")]
    found.append(_flags(app))
    try:
        reached = await _reached(client)
        found.append(reached)
        if reached.state != "wrong":
            found.append(await _fingerprint(app, client))
            masters = _masters_of(client)
            found += [await _everywhere(name, look, app, masters) for name, look in LOOKS.items()]
    finally:
        await app.aclose()
    return found


def _flags(app: App) -> Finding:
    return Finding(name="flags", state="ok", found=flags_told(app.settings))


async def _reached(client: RedisClient) -> Finding:
    try:
        await client.start()
    except StoreError as error:
        return Finding(name="connection", state="wrong", found=str(error), advice=advice_for(error))
    except ConfigurationError as error:
        problem = error.problems[0]
        return Finding(
            name="connection", state="wrong", found=f"{problem.where} {problem.found}", advice=problem.accepted
        )
    return Finding(name="connection", state="ok", found=", ".join(client.nodes()))


async def _fingerprint(app: App, client: RedisClient) -> Finding:
    """Compare what decides how keys are called with what the fleet has."""
    store = app.limiter.engine.store
    assert isinstance(store, RedisStore)
    own = store.keyspace.fingerprint
    try:
        raw = await client.execute("GET", store.keyspace.fingerprint_name, deadline_us=COMMAND_DEADLINE_US)
    except StoreError as error:
        state: State = "wrong" if isinstance(error, StoreAuthenticationError) else "warning"
        return Finding(name="fingerprint", state=state, found=str(error), advice=advice_for(error))
    found = raw.decode("utf-8", "replace") if raw is not None else None
    if found is None:
        return Finding(name="fingerprint", state="ok", found=f"none yet; the first process to start makes it {own}")
    if found == own:
        return Finding(name="fingerprint", state="ok", found=f"{own}, as the fleet has it")
    advice = (
        "set redis.hash_tags and redis.key_secret as the fleet has them; to change them, stop the fleet and run "
        "sluicegate config new-generation"
    )
    return Finding(name="fingerprint", state="wrong", found=f"{own} here, {shape_of(found)} there", advice=advice)


def _masters_of(client: RedisClient) -> Mapping[str, Ask]:
    each_master = getattr(client, "each_master", None)  # who has one server has no need of it
    masters: Mapping[str, Ask] = each_master() if each_master is not None else {}
    return masters or {client.nodes()[0]: client.execute}


async def _everywhere(name: str, look: Look, app: App, masters: Mapping[str, Ask]) -> Finding:
    """Look at each master, and return the worst, with where that is and how many are so."""
    seen = {node: await looked(look, app.settings, ask) for node, ask in masters.items()}
    node, worst = max(seen.items(), key=lambda each: (STATES.index(each[1].state), each[1].measure))
    if len(seen) == 1:
        return Finding(name=name, state=worst.state, found=worst.found, advice=worst.advice)
    if all(each.found == worst.found for each in seen.values()):
        found = f"{worst.found}; on all {len(seen)} masters"
        return Finding(name=name, state=worst.state, found=found, advice=worst.advice)
    found = f"{worst.found}; at {node}, {_share(worst, seen)}"
    return Finding(name=name, state=worst.state, found=found, advice=worst.advice, node=node)


def _share(worst: Seen, seen: Mapping[str, Seen]) -> str:
    if worst.state == "ok":
        return f"the worst of {len(seen)} masters"
    alike = sum(each.state == worst.state for each in seen.values())
    return f"and {worst.state} on {alike} of {len(seen)} masters"
