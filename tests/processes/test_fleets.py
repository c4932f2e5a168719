"""Four processes on one key of a Cluster, and of a master that sentinels watch: not one unit more or less."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.fleets import ClusterFleet, SentinelFleet
from tests.processes.crew import crew, results
from tests.processes.test_exactness import LONG, REQUESTS, SHORT, TOTAL, check_replay, named

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
PROCESSES = 4


@pytest.fixture(scope="module", params=[ClusterFleet, SentinelFleet], ids=["cluster", "sentinel"])
def fleet(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Run a fleet."""
    with request.param() as running:
        yield running


def test_the_total_of_all_processes_is_the_limit(fleet: Any) -> None:
    """Whatever the algorithm, what they got together is the limit exactly."""
    with crew(fleet.url, "drain", named(LONG), processes=PROCESSES, requests=2 * REQUESTS, callers=16) as started:
        allowed = results(started)
    assert {kind: sum(own[kind] for own in allowed) for kind in LONG} == dict.fromkeys(LONG, TOTAL)


def test_each_decision_is_the_twins(fleet: Any) -> None:
    """The ledger of all processes, in the order of the script, replayed gives the same decisions."""
    fleet.flush()
    check_replay(fleet.url, SHORT, 4, processes=PROCESSES)
