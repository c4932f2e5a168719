"""A service whose Redis is away starts, says so, and goes on when it is there."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from sluicegate import Limiter, NullLogger
from tests.faults_proxy import FaultProxy
from tests.recording import RecordingLogger
from tests.server.service import service
from tests.servers import RedisServer, free_port

if TYPE_CHECKING:
    import redis


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
        assert reset.json()["detail"] == "The store could not be reached; nothing was done."
        hold = client.post("/v1/holds", json={"limit": "slots", "key": "a"})
        assert (hold.status_code, hold.json()["id"], hold.json()["degraded"]) == (200, None, True)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_clients_are_not_told_where_the_store_is(host: str) -> None:
    """No answer of any path names the store's host or port; the log does."""
    port = free_port()
    recorder = RecordingLogger()
    limiter = Limiter.connect(f"redis://somebody:canary@{host}:{port}", connect_timeout=0.3, logger=NullLogger())
    ask = {"limit": "api", "key": "a"}
    with service(limiter, logger=recorder) as client:
        calls = [("reset", ask), ("acquire", ask), ("holds", {"limit": "slots", "key": "a"}), ("peek", ask)]
        answers = [client.post(f"/v1/{verb}", json=body) for verb, body in calls]
        answers += [client.get("/readyz"), client.get("/v1/limits")]
    for answer in answers:
        told = f"{answer.headers} {answer.text}"
        assert host not in told
        assert str(port) not in told
        assert "canary" not in told
    (unanswered,) = recorder.named("request.unanswered")
    assert unanswered["path"] == "/v1/reset"
    assert f"{host}:{port}" in str(unanswered["error"])
    assert "canary" not in str(unanswered)


def test_ids_stay_out_of_the_log() -> None:
    """A hold that could not be released is told by its path without the id, which is as good as the hold."""
    recorder = RecordingLogger()
    with service() as client:
        token = client.post("/v1/holds", json={"limit": "slots", "key": "a"}).json()["id"]
    limiter = Limiter.connect(f"redis://127.0.0.1:{free_port()}", connect_timeout=0.3, logger=NullLogger())
    with service(limiter, logger=recorder) as client:
        assert client.delete(f"/v1/holds/{token}").status_code == 503
    (unanswered,) = recorder.named("request.unanswered")
    assert unanswered["path"] == "/v1/holds/{hold_id}"
    assert token not in str(recorder.events)


def test_what_may_have_been_done_is_said(redis_server: RedisServer) -> None:
    """A refund whose answer is lost says that it may have been done, and asking again is safe."""
    with FaultProxy(redis_server.port) as proxy, service(Limiter.connect(proxy.url, logger=NullLogger())) as client:
        token = client.post("/v1/acquire", json={"limit": "api", "key": "lost answers"}).json()["id"]
        proxy.swallow = True
        lost = client.post("/v1/refund", json={"id": token})
    assert lost.status_code == 503
    assert lost.json()["detail"] == "The store did not answer; what was asked may have been done."


def test_a_key_that_cannot_be_read_is_said_with_its_remedy(redis_client: redis.Redis) -> None:
    """A refund of a key that holds something else says so, and what mends it."""
    url = "redis://{host}:{port}".format(**redis_client.connection_pool.connection_kwargs)
    with service(Limiter.connect(url, logger=NullLogger())) as client:
        ask = {"limit": "paced", "key": "spoilt"}
        token = client.post("/v1/acquire", json=ask).json()["id"]
        (key,) = redis_client.keys("*spoilt")
        redis_client.delete(key)
        redis_client.hset(key, "a", "b")
        redis_client.expire(key, 60)
        spoilt = client.post("/v1/refund", json={"id": token})
        assert spoilt.status_code == 503
        assert spoilt.json()["detail"] == "What the store holds for this key cannot be read; POST /v1/reset mends it."
        assert client.post("/v1/reset", json=ask).json() == {"reset": True}


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
