"""Runs the service as a process: from the first line it prints to the last request it finishes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import ssl
import tempfile
import threading
from itertools import chain, repeat
from math import ceil
from secrets import token_bytes
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import uvicorn

from sluicegate.config import LiveSettings, parts
from sluicegate.database import address_of
from sluicegate.server.app import create_app
from sluicegate.server.reloading import Reloading
from sluicegate.server.workers import Crew
from sluicegate.utils import ConfigurationError, InvalidInputError, shape_of

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from sluicegate.config import App, Settings
    from sluicegate.monitoring import Logger
    from sluicegate.ratelimit import Limiter
    from sluicegate.ratelimit.rules import LiveRules
    from sluicegate.server.health import Health

__all__ = ["serve"]

SECRET_BYTES = 32
_BACKLOG = 2048  # connections that wait to be accepted; what the kernel grants may be less
_CONNECTIONS_MAX = 10_000  # open at once; each takes some 50 KB, and who opens more is no client
_NAMES_SHOWN_MAX = 20  # a line of them; GET /v1/limits has all
_RETRY_SECONDS: Final = (1.0, 2.0, 4.0, 8.0, 16.0)  # then the last one again, for as long as it takes


def serve(
    settings: Settings,
    *,
    on_listening: Callable[[str, App], None] | None = None,
    read: Callable[[], Settings] | None = None,
) -> None:
    """Serve the HTTP interface until SIGTERM or SIGINT, then finish what is in flight.

    After SIGTERM ``/readyz`` says 503 for a while, while everything is still served; then no connection is
    accepted any more, and requests in flight have some time to finish. A second signal ends the waiting. After
    SIGINT there is no delay. A Redis that is away does not keep the service from starting.

    Args:
        settings: What to serve, where, and how long things may take; see `sluicegate.config.load_settings`.
        on_listening: Called once with the service's URL and its parts when it accepts connections.
        read: Returns what the sources of the settings say now. It is asked on SIGHUP: flags that differ are put in
            force, and what else differs is named in the log, for it needs a restart. Default: settings stay.

    Raises:
        InvalidInputError: The address is taken, or a setting is refused.
        ConfigurationError: The settings name no rules, or what cannot be used as it is.
    """
    app = parts(settings)
    if app.rules is None:
        raise ConfigurationError([InvalidInputError("rules", "nothing", "a file that defines the limits")])
    listening = on_listening or (lambda _url, _app: None)
    live = LiveSettings(settings, read, app.logger) if read is not None else None
    with _listening(settings.server.host, settings.server.port) as listener:
        _tell_what_answers_without_the_store(app.rules, app.logger)
        _tell_of_bans_that_nobody_hears_of(app)
        url = _url_of(listener, "http" if settings.server.tls_cert_file is None else "https")
        secret = settings.server.secret.get_secret_value() if settings.server.secret is not None else None
        if settings.server.workers == 1:
            _serve_alone(app, listener, secret, lambda: listening(url, app), live=live)
            return
        secret = secret or token_bytes(SECRET_BYTES)  # the same for all of them
        with _server_shared(settings) as shared:

            def work(say: int, alive: int) -> None:
                _serve_alone(parts(shared), listener, secret, lambda: os.write(say, b"."), live=live, alive=alive)

            Crew(settings.server.workers, work, app.logger).run(lambda: listening(url, app))


@contextlib.contextmanager
def _server_shared(settings: Settings) -> Iterator[Settings]:
    """Have all workers use one embedded server, where the settings ask for one without naming its directory."""
    url = settings.redis.url
    address = address_of(url.get_secret_value()) if url is not None else None
    if url is None or address is None or address.kind != "embedded" or address.folder:
        yield settings
        return
    with tempfile.TemporaryDirectory(prefix="sluicegate-", ignore_cleanup_errors=True) as folder:
        redis = settings.redis.model_copy(update={"url": type(url)(f"embedded://{quote(folder)}")})
        yield settings.model_copy(update={"redis": redis})


def _serve_alone(
    app: App,
    listener: socket.socket,
    secret: bytes | None,
    on_serving: Callable[[], object],
    *,
    live: LiveSettings | None,
    alive: int | None = None,
) -> None:
    """Serve in this process, until it is told to end, or until who watches it is gone."""
    server = app.settings.server
    assert app.rules is not None
    token = server.admin_token.get_secret_value() if server.admin_token is not None else None
    application = create_app(app.limiter, app.rules, secret=secret, admin_token=token, logger=app.logger)
    config = uvicorn.Config(
        application,
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        ws="none",
        lifespan="off",  # the limiter is started below, where what it raises can be told
        backlog=_BACKLOG,
        limit_concurrency=_CONNECTIONS_MAX,
        timeout_graceful_shutdown=ceil(server.grace_ms / 1_000),
        ssl_certfile=server.tls_cert_file,
        ssl_keyfile=server.tls_key_file,
    )
    _check_certificate(config)
    running = _Server(config, application.state.health, server.drain_delay_ms / 1_000, on_serving)
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(_served(running, listener, app, live, alive))


class _Server(uvicorn.Server):
    """A server that says it is not ready before it stops to listen."""

    def __init__(
        self, config: uvicorn.Config, health: Health, drain_delay_s: float, on_listening: Callable[[], object]
    ) -> None:
        super().__init__(config)
        self._health = health
        self._drain_delay_s = drain_delay_s
        self._on_listening = on_listening
        self._told_to_end = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_listening()

    async def unless_told_to_end(self, start: Coroutine[Any, Any, bool]) -> bool | None:
        """Return what *start* returns; ``None``, and end it, when a signal comes before."""
        starting = asyncio.create_task(start)
        told = asyncio.create_task(self._told_to_end.wait())
        try:
            await asyncio.wait((starting, told), return_when=asyncio.FIRST_COMPLETED)
            return starting.result() if starting.done() else None
        finally:
            for task in (starting, told):
                task.cancel()
            await asyncio.gather(starting, told, return_exceptions=True)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # they are caught already: what comes before the server must end as well as it does

    @contextlib.contextmanager
    def signals_caught(self) -> Iterator[None]:
        """Let SIGTERM and SIGINT end the service well, from here to the end."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()

        def caught(number: int, _: object) -> None:
            loop.call_soon_threadsafe(self._end, number)

        before = {number: signal.signal(number, caught) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def left_alone(self, alive: int) -> None:
        """End as if told to: nobody watches this process any more."""
        asyncio.get_running_loop().remove_reader(alive)
        if not self._health.draining:
            self._end(signal.SIGTERM)

    def _end(self, number: int) -> None:
        if self._health.draining:  # a second signal: whoever sends it does not want to wait
            self.should_exit = self.force_exit = True
            return
        self._health.draining = True
        self._told_to_end.set()
        delay_s = self._drain_delay_s if number == signal.SIGTERM else 0
        asyncio.get_running_loop().call_later(delay_s, setattr, self, "should_exit", True)  # noqa: FBT003 - setattr's


async def _served(
    server: _Server, listener: socket.socket, app: App, live: LiveSettings | None, alive: int | None
) -> None:
    trying: asyncio.Task[None] | None = None
    reloading = Reloading(app, live)
    with server.signals_caught(), reloading.begun():
        if alive is not None:
            asyncio.get_running_loop().add_reader(alive, server.left_alone, alive)
        try:
            has_store = await server.unless_told_to_end(app.start())
            if has_store is None:
                return
            if not has_store:
                trying = asyncio.create_task(_keep_trying(app.limiter, app.logger))
            await server.serve([listener])
        finally:
            if trying is not None:
                trying.cancel()
                await asyncio.gather(trying, return_exceptions=True)
            await reloading.aclose()
            if alive is not None:
                asyncio.get_running_loop().remove_reader(alive)
            await app.aclose()


async def _keep_trying(limiter: Limiter, logger: Logger) -> None:
    """Start the limiter when its store appears; requests try too, but do not look at its version."""
    for delay_s in chain(_RETRY_SECONDS, repeat(_RETRY_SECONDS[-1])):
        await asyncio.sleep(delay_s)
        try:
            if await limiter.start():
                return
        except ConfigurationError as error:
            logger.error("store.unusable", error=str(error))  # noqa: TRY400 - the port has no other
            return


def _tell_what_answers_without_the_store(rules: LiveRules, logger: Logger) -> None:
    limits = [limit for rule in rules.current.all for limit in rule.in_force]
    # One that is being rolled out, or that plans change, may do both.
    denying = dict.fromkeys(limit.name for limit in limits if limit.on_failure == "closed" and not limit.shadow)
    allowing = dict.fromkeys(limit.name for limit in limits if limit.on_failure != "closed" or limit.shadow)
    logger.info("limits.without_store", allow=_listed([*allowing]), deny=_listed([*denying]))


def _tell_of_bans_that_nobody_hears_of(app: App) -> None:
    """Warn where rules ban, and other processes that decide by them would go on serving who is banned."""
    assert app.rules is not None
    banning = [limit.name for limit in app.rules.named.values() if limit.ban is not None]
    if banning and app.client is not None and not app.settings.flags.changes:
        app.logger.warning("bans.unheard", limits=_listed(banning), mend="flags.changes = true")


def _listed(names: list[str]) -> str:
    more = len(names) - _NAMES_SHOWN_MAX
    return ", ".join(names[:_NAMES_SHOWN_MAX]) + (f" and {more:,} more" if more > 0 else "") if names else "none"


@contextlib.contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        found = f"{shape_of(host)} and {port} ({error.strerror or error})"
        raise InvalidInputError("host and port", found, "an address of this machine and a port that is free") from None
    with listener:
        yield listener


def _check_certificate(config: uvicorn.Config) -> None:
    """Refuse a certificate that cannot be used, before anybody is told that there is a service.

    Raises:
        ConfigurationError: It cannot be read, or the key is not its own.
    """
    try:
        config.load()
    except (OSError, ssl.SSLError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or "what cannot be read"
        problem = InvalidInputError("server.tls_cert_file", reason, "a certificate and its key, as PEM")
        raise ConfigurationError([problem]) from None


def _url_of(listener: socket.socket, scheme: str) -> str:
    host, port = listener.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
