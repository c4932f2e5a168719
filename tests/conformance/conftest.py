"""The four limiters that every conformance test runs on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conformance.rig import Rig

if TYPE_CHECKING:
    from collections.abc import Iterator

STORES = ("memory", "redis")
FACES = ("async", "sync")


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest) -> str:
    """Where state lives."""
    name: str = request.param
    return name


@pytest.fixture(params=FACES)
def face(request: pytest.FixtureRequest) -> str:
    """Whether the verbs are awaited or block."""
    name: str = request.param
    return name


@pytest.fixture
def rig(store: str, face: str, request: pytest.FixtureRequest) -> Iterator[Rig]:
    """A limiter with one face on one store."""
    url = server = None
    if store == "redis":
        url = request.getfixturevalue("redis_url")
        server = request.getfixturevalue("redis_client")
    made = Rig(store, face, url, server)
    yield made
    made.close()
