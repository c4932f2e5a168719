"""A client of the shared server, and one that reaches it through faults."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.database.calling import COUNT, LOOK, connected
from tests.faults_proxy import FaultProxy
from tests.fleets import started_when_asked_for

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    from sluicegate.database.standalone import StandaloneClient
    from tests.fleets import Fleet
    from tests.servers import RedisServer


@pytest.fixture(autouse=True)
def _quiet_loop(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """A test fails in which the event loop had to tell of something that nobody caught."""
    yield
    told = [record for record in caplog.get_records("call") if record.name == "asyncio" and record.levelname == "ERROR"]
    assert [record.getMessage() for record in told] == []


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[StandaloneClient]:
    """A client of the shared server."""
    async with connected(redis_url) as made:
        yield made


@pytest.fixture
def proxy(redis_server: RedisServer, redis_url: str) -> Iterator[FaultProxy]:
    """What stands before the shared server, and does no harm yet."""
    with FaultProxy(redis_server.port) as made:
        yield made


@pytest.fixture
async def through(proxy: FaultProxy) -> AsyncIterator[StandaloneClient]:
    """A client behind the proxy, which is connected and has its scripts on the server."""
    async with connected(proxy.url) as made:
        await made.start()
        for script in (COUNT, LOOK):
            await made.run(script, [b"warm"], [], read_only=script is LOOK, deadline_us=5_000_000)
        yield made


@pytest.fixture(scope="module")
def fleets() -> Iterator[Mapping[str, Fleet]]:
    """Every topology by its name, started once for the tests of a file, when it is first asked for."""
    with started_when_asked_for() as started:
        yield started
