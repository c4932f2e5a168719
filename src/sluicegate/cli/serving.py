"""Starts the service from a shell, and tells a newcomer what to try."""

from __future__ import annotations

import json
import logging
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.logging import RichHandler
from rich.text import Text

from sluicegate.cli.defaults import rules_named
from sluicegate.cli.exits import ALLOWED
from sluicegate.cli.places import ConfigFile, Environment  # noqa: TC001 - typer reads the annotations
from sluicegate.database import address_of
from sluicegate.utils import ConfigurationError, InvalidInputError, checked_seconds

if TYPE_CHECKING:
    from sluicegate.config import App, Settings

__all__ = ["serve"]

_SECRET_BYTES_MAX = 4096  # a file that is longer is some other file
_WAIT_SECONDS_MAX = 600.0  # as the settings have it, in milliseconds
_TRIES_MAX = 200  # a loop that a newcomer would not wait for is no demonstration


def serve(  # noqa: PLR0913, PLR0917 - the options of a command
    rules: Annotated[str | None, typer.Option(help="The file of rules, YAML or TOML.")] = None,
    config: ConfigFile = None,
    environment: Environment = None,
    host: Annotated[str | None, typer.Option(help="The address to listen on; default: this machine alone.")] = None,
    port: Annotated[int | None, typer.Option(help="The port; 0 takes a free one; default: 8000.")] = None,
    redis: Annotated[
        str | None, typer.Option(help="redis://HOST:PORT where state is kept; default: in memory.")
    ] = None,
    secret_file: Annotated[
        str | None, typer.Option(help="A file of at least 16 bytes, the same for all processes, that signs ids.")
    ] = None,
    drain_delay: Annotated[
        float | None, typer.Option(help="Seconds of not being ready before the door closes; default: 1.")
    ] = None,
    grace: Annotated[float | None, typer.Option(help="Seconds for requests in flight to finish; default: 10.")] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, and log in JSON.")] = False,
) -> int:
    """Serve decisions over HTTP until SIGTERM or Ctrl-C, then finish what is in flight.

    Options overrule the settings, which come from variables and files: see sluicegate config.
    """
    server = {
        "host": host,
        "port": port,
        "secret": None if secret_file is None else _secret_in(secret_file),
        "drain_delay_ms": _milliseconds(drain_delay, "--drain-delay"),
        "grace_ms": _milliseconds(grace, "--grace"),
    }
    log_format = "json" if as_json else None
    said = {"rules": rules, "redis": {"url": redis}, "server": server, "monitoring": {"log_format": log_format}}
    return _serve(environment, config, _without_nothing(said), as_json=as_json)


def _serve(environment: str | None, config: str | None, said: dict[str, Any], *, as_json: bool) -> int:
    try:
        from sluicegate import server  # noqa: PLC0415 - an optional package, needed by this command alone
        from sluicegate.config import load_settings  # noqa: PLC0415 - as above
    except ModuleNotFoundError as error:
        problem = InvalidInputError("serve", f"{error.name} is not installed", "pip install 'sluicegate[server]'")
        raise ConfigurationError([problem]) from None
    settings = load_settings(environment, file=config, **said)
    rules_named(None, settings)
    _log_to_stderr(settings)
    server.serve(
        settings,
        on_listening=_json_greeting if as_json else _greeting,
        read=lambda: load_settings(environment, file=config, **said),
    )
    return ALLOWED


def _without_nothing(said: dict[str, Any]) -> dict[str, Any]:
    """Leave out what no option says, so that it is taken from elsewhere."""
    plain = {name: _without_nothing(value) if isinstance(value, dict) else value for name, value in said.items()}
    return {name: value for name, value in plain.items() if value is not None and value != {}}


def _milliseconds(seconds: float | None, option: str) -> int | None:
    if seconds is None:
        return None
    return round(checked_seconds(seconds, option, at_least=0, at_most=_WAIT_SECONDS_MAX) * 1_000)


def _whereabouts(settings: Settings) -> str:
    """Return where state is kept, and for how long."""
    if settings.redis.url is None:
        return "in the memory of this process, and gone with it (--redis shares and keeps it)"
    address = address_of(settings.redis.url.get_secret_value())
    if address.kind != "embedded":
        return "in Redis"
    others = ", shared by all who name its directory," if address.folder else ""
    return (
        f"in a server of this machine's own{others} and gone with it (--redis redis://… shares it with other machines)"
    )


def _greeting(url: str, app: App) -> None:
    console = Console(soft_wrap=True, highlight=False)
    kept = f"; state is kept {_whereabouts(app.settings)}."
    console.print(Text.assemble(("Sluicegate", "bold"), " decides at ", (url, "bold cyan"), kept))
    rules = app.rules.limits if app.rules is not None else ()
    rated = next((rule.limit for rule in rules if rule.limit.rates), None)
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


def _json_greeting(url: str, app: App) -> None:
    sys.stdout.write(json.dumps({"url": url, "store": "redis" if app.client else "memory"}) + "\n")
    sys.stdout.flush()


def _log_to_stderr(settings: Settings) -> None:
    monitoring = settings.monitoring
    as_json = monitoring.log_format == "json"
    handler: logging.Handler
    if sys.stderr.isatty() and not as_json:
        handler = RichHandler(console=Console(stderr=True), show_path=False, markup=False, rich_tracebacks=False)
        handler.setFormatter(logging.Formatter("%(message)s"))
    else:  # a line stays a line in a file
        handler = logging.StreamHandler()
        handler.setFormatter(_JsonLines() if as_json else logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("sluicegate").setLevel(monitoring.log_level.upper())


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
    if Path(path).exists() and not Path(path).is_file():  # a pipe would be waited for, maybe for ever
        raise InvalidInputError(f"--secret-file {path!a}", "what is no regular file", "a file that can be read")
    try:
        with Path(path).open("rb") as file:
            secret = file.read(_SECRET_BYTES_MAX + 1).strip()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InvalidInputError(f"--secret-file {path!a}", reason, "a file that can be read") from None
    if len(secret) > _SECRET_BYTES_MAX:
        raise InvalidInputError(f"--secret-file {path!a}", "a longer file", f"16 to {_SECRET_BYTES_MAX:,} bytes")
    return secret
