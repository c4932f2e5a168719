"""Starts the service from a shell, and tells a newcomer what to try."""

from __future__ import annotations

import json
import logging
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.logging import RichHandler
from rich.text import Text

from sluicegate.cli.exits import ALLOWED
from sluicegate.ratelimit.rules import load_rules
from sluicegate.utils import ConfigurationError, InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sluicegate.ratelimit.rules import Rules

__all__ = ["serve"]

_SECRET_BYTES_MAX = 4096  # a file that is longer is some other file
_TRIES_MAX = 200  # a loop that a newcomer would not wait for is no demonstration


def serve(
    rules: Annotated[str, typer.Option(envvar="SLUICEGATE_RULES", help="The file of rules, YAML or TOML.")],
    host: Annotated[
        str, typer.Option(help="The address to listen on; the default is this machine alone.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port; 0 takes a free one.")] = 8000,
    redis: Annotated[
        str | None,
        typer.Option(envvar="SLUICEGATE_REDIS", help="redis://HOST:PORT where state is kept; default: in memory."),
    ] = None,
    secret_file: Annotated[
        str | None, typer.Option(help="A file of at least 16 bytes, the same for all processes, that signs ids.")
    ] = None,
    drain_delay: Annotated[float, typer.Option(help="Seconds of not being ready before the door closes.")] = 1.0,
    grace: Annotated[float, typer.Option(help="Seconds for requests in flight to finish.")] = 10.0,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, and log in JSON.")] = False,
) -> int:
    """Serve decisions over HTTP until SIGTERM or Ctrl-C, then finish what is in flight."""
    try:
        from sluicegate import server  # noqa: PLC0415 - an optional package, needed by this command alone
    except ModuleNotFoundError as error:
        problem = InvalidInputError("serve", f"{error.name} is not installed", "pip install 'sluicegate[server]'")
        raise ConfigurationError([problem]) from None
    loaded = load_rules(rules)
    secret = None if secret_file is None else _secret_in(secret_file)
    _log_to_stderr(as_json=as_json)
    server.serve(
        loaded,
        host=host,
        port=port,
        redis_url=redis,
        secret=secret,
        drain_delay=drain_delay,
        grace=grace,
        on_listening=_json_greeting(redis) if as_json else _greeting(loaded, redis),
    )
    return ALLOWED


def _greeting(rules: Rules, redis: str | None) -> Callable[[str], None]:
    def greet(url: str) -> None:
        console = Console(soft_wrap=True, highlight=False)
        kept = "in Redis" if redis else "in the memory of this process, and gone with it (--redis shares and keeps it)"
        console.print(
            Text.assemble(("Sluicegate", "bold"), " decides at ", (url, "bold cyan"), f"; state is kept {kept}.")
        )
        rated = next((rule.limit for rule in rules.limits if rule.limit.rates), None)
        if rated is not None:
            body = shlex.quote(json.dumps({"limit": rated.name, "key": "192.0.2.1"}))
            post = f"curl -s -H 'Content-Type: application/json' -d {body}"
            tries = min(_TRIES_MAX, rated.plan.capacity + 2)
            console.print("\nA request that is allowed:", style="dim")
            console.print(f"  {post} -i {url}/v1/acquire", markup=False)
            console.print("\nUntil one meets a 429:", style="dim")
            console.print(
                f"  for i in $(seq {tries}); do {post} -o /dev/null -w '%{{http_code}}\\n' {url}/v1/acquire; done",
                markup=False,
            )
        console.print("\nWhere to read on:", style="dim")
        console.print(f"  {url}/docs (every call)   {url}/v1/limits (these rules)   docs/service.md   Ctrl-C ends it")

    return greet


def _json_greeting(redis: str | None) -> Callable[[str], None]:
    def greet(url: str) -> None:
        sys.stdout.write(json.dumps({"url": url, "store": "redis" if redis else "memory"}) + "\n")
        sys.stdout.flush()

    return greet


def _log_to_stderr(*, as_json: bool) -> None:
    handler: logging.Handler
    if sys.stderr.isatty() and not as_json:
        handler = RichHandler(console=Console(stderr=True), show_path=False, markup=False, rich_tracebacks=False)
        handler.setFormatter(logging.Formatter("%(message)s"))
    else:  # a line stays a line in a file
        handler = logging.StreamHandler()
        handler.setFormatter(_JsonLines() if as_json else logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("sluicegate").setLevel(logging.INFO)


class _JsonLines(logging.Formatter):
    """One JSON object a line, with the event's fields."""

    def format(self, record: logging.LogRecord) -> str:
        fields = getattr(record, "fields", {})
        event = getattr(record, "event", None) or record.getMessage()
        line = {"time": record.created, "level": record.levelname.lower(), "event": event}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps({**line, **fields}, default=str)


def _secret_in(path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            secret = file.read(_SECRET_BYTES_MAX + 1).strip()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InvalidInputError(f"--secret-file {path!a}", reason, "a file that can be read") from None
    if len(secret) > _SECRET_BYTES_MAX:
        raise InvalidInputError(f"--secret-file {path!a}", "a longer file", f"16 to {_SECRET_BYTES_MAX:,} bytes")
    return secret
