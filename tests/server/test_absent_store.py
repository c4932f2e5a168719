"""A service whose Redis is away starts, says so, and goes on when it is there."""

from __future__ import annotations

import time

from sluicegate import Limiter, NullLogger
from tests.server.service import service
from tests.servers import RedisServer, free_port


def test_without_redis_each_path_says_what_it_can() -> None:
    """Deciding paths answer as each limit says, degraded; paths that need the store say 503."""
    limiter = Limiter.connect(f"redis://127.0.0.1:{free_port()}", logger=NullLogger())
    with service(limiter) as client:
        assert client.get("/livez").status_code == 200
        ready = client.get("/readyz")
        assert (ready.status_code, ready.headers["content-type"]) == (503, "application/problem+json")
        for limit, status in (("api", 200), ("closed", 429)):
            answer = client.post("/v1/acquire", json={"limit": limit, "key": "a"})
            assert (answer.status_code, answer.json()["degraded"], answer.json()["id"]) == (status, True, None)
            assert answer.json()["source"] == "fallback"
        both = {"requests": [{"limit": "api", "key": "a"}, {"limit": "closed", "key": "a"}]}
        assert client.post("/v1/acquire-all", json=both).status_code == 429
        many = client.post("/v1/acquire-many", json=both)
        assert [each["allowed"] for each in many.json()["decisions"]] == [True, False]
        reset = client.post("/v1/reset", json={"limit": "api", "key": "a"})
        assert (reset.status_code, reset.headers["retry-after"]) == (503, "1")
        assert reset.json()["detail"].startswith("The store gave no usable answer: ")
        hold = client.post("/v1/holds", json={"limit": "slots", "key": "a"})
        assert (hold.status_code, hold.json()["id"], hold.json()["degraded"]) == (200, None, True)


def test_it_is_ready_when_redis_comes() -> None:
    """The service that started without Redis decides with it as soon as it is there."""
    port = free_port()
    limiter = Limiter.connect(f"redis://127.0.0.1:{port}", logger=NullLogger())
    with service(limiter) as client:
        assert client.get("/readyz").status_code == 503
        with RedisServer(port=port):
            deadline = time.monotonic() + 20
            while client.get("/readyz").status_code != 200:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            answer = client.post("/v1/acquire", json={"limit": "api", "key": "a"})
            assert (answer.json()["source"], answer.json()["degraded"]) == ("redis", False)
