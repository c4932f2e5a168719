"""Looks at the servers that a process would use, before it does."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sluicegate.cli.exits import ALLOWED, REFUSED
from sluicegate.cli.output import printable
from sluicegate.cli.places import ConfigFile, Environment  # noqa: TC001 - typer reads the annotations
from sluicegate.monitoring import NullLogger
from sluicegate.utils import ConfigurationError, InvalidInputError

if TYPE_CHECKING:
    from sluicegate.config import Finding, Settings

__all__ = ["doctor", "new_generation", "redis_acl"]

STYLES = {"ok": "green", "warning": "yellow", "wrong": "bold red"}

Redis = Annotated[str | None, typer.Option(help="The server to look at; default: the settings'.")]


def doctor(
    config: ConfigFile = None,
    environment: Environment = None,
    redis: Redis = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> int:
    """Connect, and say what is right, what is risky and what is wrong; exit code 2 when something is wrong."""
    from sluicegate.config import diagnose, parts  # noqa: PLC0415 - not every command needs them

    app = parts(_settings(config, environment, redis), logger=NullLogger())
    findings = asyncio.run(diagnose(app))
    if as_json:
        sys.stdout.write(json.dumps({"findings": [asdict(finding) for finding in findings]}) + "\n")
    else:
        _print(findings)
    return REFUSED if any(finding.state == "wrong" for finding in findings) else ALLOWED


def new_generation(config: ConfigFile = None, environment: Environment = None, redis: Redis = None) -> int:
    """Have the whole fleet name its keys as these settings say; what was counted under other names expires.

    Stop the processes that have other settings first: those that run go on under the old names until they end, and
    count apart. They are refused when they start again.
    """
    from sluicegate.config import parts  # noqa: PLC0415 - as above
    from sluicegate.ratelimit import RedisStore  # noqa: PLC0415 - as above

    app = parts(_settings(config, environment, redis), logger=NullLogger())
    store = app.limiter.engine.store
    if not isinstance(store, RedisStore):
        problem = InvalidInputError("redis.url", "nothing", "the server whose keys are to be named anew")
        raise ConfigurationError([problem])

    async def begin() -> None:
        try:
            await store.begin_generation()
        finally:
            await app.aclose()

    asyncio.run(begin())
    told = (
        "a new generation of keys has begun: processes with other settings are refused at their next start; "
        "stop those that run, for until then they go on under the old names and count apart"
    )
    Console(soft_wrap=True).print(Text(told))
    return ALLOWED


def redis_acl(
    config: ConfigFile = None,
    environment: Environment = None,
    redis: Annotated[
        str | None,
        typer.Option(help="How clients reach the server, which tells what they need; default: the settings'."),
    ] = None,
    user: Annotated[str, typer.Option(help="The user's name.")] = "sluicegate",
    *,
    for_sentinels: Annotated[
        bool, typer.Option("--for-sentinels", help="Print the line of the sentinels' own file.")
    ] = False,
) -> int:
    """Print the line of an ACL file that allows what these settings need on the server, and no more.

    In it stands PASSWORD where the password belongs. Nothing is connected to.
    """
    from sluicegate.database import address_of, connect, least_acl, sentinel_acl, tags_for  # noqa: PLC0415 - as above

    if for_sentinels:
        _print_acl(sentinel_acl(user=user))
        return ALLOWED
    own = _settings(config, environment, redis).redis
    url = own.url.get_secret_value() if own.url is not None else ""
    if url and address_of(url).kind == "embedded":
        found = "an embedded server, which no other user of the machine can reach"
        raise InvalidInputError("redis.url", found, "a server that has users")
    if url:
        connect(url)  # so that what is wrong with it is told; nothing is sent
    _print_acl(least_acl(own.key_prefix, user=user, on_cluster=bool(tags_for(url)), url=url))
    return ALLOWED


def _print_acl(line: str) -> None:
    """Print the line, and beside it, where it spoils no file, what is to be done with it."""
    sys.stdout.write(line + "\n")
    hint = (
        "put the user's password in place of PASSWORD, or #, the password's SHA-256 in hexadecimal, in place of "
        ">PASSWORD; then have the server read its file: ACL LOAD"
    )
    Console(stderr=True, soft_wrap=True).print(Text(hint))


def _settings(config: str | None, environment: str | None, redis: str | None) -> Settings:
    from sluicegate.config import load_settings  # noqa: PLC0415 - as above

    if redis is None:
        return load_settings(environment, file=config)
    return load_settings(environment, file=config, redis={"url": redis})


def _print(findings: list[Finding]) -> None:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for heading in ("looked at", "", "found", "what to do"):
        table.add_column(heading, overflow="fold")
    for each in findings:
        table.add_row(
            Text(each.name, "bold"),
            Text(each.state, STYLES[each.state]),
            Text(printable(each.found)),
            Text(printable(each.advice)),
        )
    Console().print(table)
