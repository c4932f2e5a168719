"""Every verb over HTTP, on a real server: what it answers, and what it leaves behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import http_sf
import httpx
import pytest

from sluicegate import Limiter, NullLogger
from sluicegate.ratelimit.rules import parse_rules
from sluicegate.server import create_app
from tests.integrations.serving import served
from tests.server.service import SECRET, service

if TYPE_CHECKING:
    from collections.abc import Iterator

JSON = {"content-type": "application/json"}


@pytest.fixture(params=["memory", "redis"])
def client(request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    """A client of a service, on each store."""
    limiter = None
    if request.param == "redis":
        limiter = Limiter.connect(request.getfixturevalue("redis_url"), deadline=5)
    with service(limiter) as client:
        yield client


def test_acquire_takes_until_it_denies(client: httpx.Client) -> None:
    """Allowed requests are 200, denied ones 429, with one body and the fields of the same decision."""
    answers = [client.post("/v1/acquire", json={"limit": "api", "key": "a", "cost": 4}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert [answer.json()["remaining"] for answer in answers] == [6, 2, 2]
    denied = answers[-1].json()
    assert (denied["allowed"], denied["never"], denied["id"], denied["degraded"]) == (False, False, None, False)
    assert (
        int(answers[-1].headers["retry-after"]) - 1 < denied["retry_after"] <= int(answers[-1].headers["retry-after"])
    )
    ((name, values),) = http_sf.parse(answers[-1].headers["ratelimit"].encode(), tltype="list")
    assert (name, values["r"]) == ("api", 2)
    assert answers[-1].headers["ratelimit-policy"] == '"api";q=10;w=3600'


def test_a_whole_number_may_be_written_with_a_fraction(client: httpx.Client) -> None:
    """JSON knows one kind of number, so 2.0 is a cost of 2."""
    answer = client.post("/v1/acquire", content='{"limit": "api", "key": "a", "cost": 2.0}', headers=JSON)
    assert (answer.status_code, answer.json()["cost"], answer.json()["remaining"]) == (200, 2, 8)


def test_a_limit_is_found_in_any_spelling_of_its_name() -> None:
    """A name that is spelt with combining characters is the same name, as it is for keys."""
    rules = parse_rules("version: 1\nlimits: {caf\u00e9: {rate: 10/hour, key: user}}")
    app = create_app(Limiter(logger=NullLogger()), rules, logger=NullLogger())
    with served(app) as address:
        answers = [
            httpx.post(f"http://{address}/v1/acquire", json={"limit": name, "key": "k"})
            for name in ("caf\u00e9", "cafe\u0301")
        ]
    assert [answer.json()["limit"] for answer in answers] == ["caf\u00e9"] * 2
    assert answers[1].json()["remaining"] == 8


def test_a_cost_that_never_fits_is_said(client: httpx.Client) -> None:
    """A cost beyond the limit is denied for ever, without a time to come back."""
    answer = client.post("/v1/acquire", json={"limit": "daily", "key": "a", "cost": 4})
    assert (answer.status_code, answer.json()["never"], answer.json()["retry_after"]) == (429, True, None)
    assert "retry-after" not in answer.headers


def test_acquire_all_takes_all_or_nothing(client: httpx.Client) -> None:
    """When one of several limits denies, none of them has been charged, and it is named."""
    requests = [{"limit": "api", "key": "a"}, {"limit": "daily", "key": "t", "cost": 2}]
    first = client.post("/v1/acquire-all", json={"requests": requests})
    second = client.post("/v1/acquire-all", json={"requests": requests})
    assert (first.status_code, second.status_code) == (200, 429)
    assert first.json()["binding"] == second.json()["binding"] == {"limit": "daily", "key": "t"}
    assert [each["remaining"] for each in second.json()["decisions"]] == [9, 1]
    assert client.post("/v1/peek", json=requests[0]).json()["remaining"] == 9
    assert [name for name, _ in http_sf.parse(second.headers["ratelimit"].encode(), tltype="list")] == ["api", "daily"]


def test_acquire_many_decides_each_for_itself(client: httpx.Client) -> None:
    """Independent requests are answered in their order, denials among them, with 200."""
    keys = ["a", "b", "a", "a", "a", "a"]
    answer = client.post("/v1/acquire-many", json={"requests": [{"limit": "paced", "key": key} for key in keys]})
    assert answer.status_code == 200
    assert [each["allowed"] for each in answer.json()["decisions"]] == [True, True, True, True, True, False]
    assert [each["key"] for each in answer.json()["decisions"]] == keys


def test_peek_takes_nothing(client: httpx.Client) -> None:
    """A peek says what an acquire would be answered, is always 200, and changes nothing."""
    for _ in range(3):
        peek = client.post("/v1/peek", json={"limit": "daily", "key": "a", "cost": 3})
        assert (peek.status_code, peek.json()["allowed"], peek.json()["remaining"]) == (200, True, 3)
    client.post("/v1/acquire", json={"limit": "daily", "key": "a"})
    peek = client.post("/v1/peek", json={"limit": "daily", "key": "a", "cost": 3})
    assert (peek.status_code, peek.json()["allowed"], peek.json()["id"]) == (200, False, None)


def test_reset_forgets(client: httpx.Client) -> None:
    """A reset says whether there was something to forget, and afterwards there is not."""
    client.post("/v1/acquire", json={"limit": "paced", "key": "a", "cost": 4})
    assert client.post("/v1/reset", json={"limit": "paced", "key": "a"}).json() == {"reset": True}
    assert client.post("/v1/reset", json={"limit": "paced", "key": "a"}).json() == {"reset": False}
    assert client.post("/v1/peek", json={"limit": "paced", "key": "a"}).json()["remaining"] == 4


def test_a_refund_happens_once(client: httpx.Client) -> None:
    """The id of a decision gives back its units once, and the same answer each time."""
    token = client.post("/v1/acquire", json={"limit": "api", "key": "a", "cost": 7}).json()["id"]
    assert [client.post("/v1/refund", json={"id": token}).json() for _ in range(3)] == [{"refunded": 7}] * 3
    assert client.post("/v1/peek", json={"limit": "api", "key": "a"}).json()["remaining"] == 10


def test_each_decision_of_several_has_its_own_id(client: httpx.Client) -> None:
    """What was taken together can be given back one by one."""
    requests = [{"limit": "api", "key": "a", "cost": 2}, {"limit": "daily", "key": "t"}]
    decisions = client.post("/v1/acquire-all", json={"requests": requests}).json()["decisions"]
    refunds = [client.post("/v1/refund", json={"id": each["id"]}).json()["refunded"] for each in decisions]
    assert refunds == [2, 1]


def test_a_shadow_limit_denies_nobody_and_is_not_told(client: httpx.Client) -> None:
    """A limit on trial says in the body whom it would have denied, and in the fields nothing."""
    answers = [client.post("/v1/acquire", json={"limit": "trial", "key": "a"}) for _ in range(2)]
    assert [(answer.status_code, answer.json()["shadow_denied"]) for answer in answers] == [(200, False), (200, True)]
    assert answers[1].json()["id"] is None
    assert "ratelimit-policy" not in answers[1].headers


def test_holds_are_taken_renewed_and_given_back(client: httpx.Client) -> None:
    """A hold lives by its id: it counts while it is held, and is gone when it was given back."""
    holds = [client.post("/v1/holds", json={"limit": "slots", "key": "t"}) for _ in range(3)]
    assert [hold.status_code for hold in holds] == [200, 200, 429]
    assert [hold.json()["expires_after"] for hold in holds] == [30, 30, None]
    assert holds[2].json()["id"] is None
    path = f"/v1/holds/{holds[0].json()['id']}"
    assert client.put(path).json()["expires_after"] == 30
    assert [client.delete(path).json() for _ in range(2)] == [{"released": True}, {"released": False}]
    assert client.put(path).status_code == 410
    assert client.post("/v1/holds", json={"limit": "slots", "key": "t"}).status_code == 200


def test_another_process_with_the_secret_takes_an_id_back(redis_url: str) -> None:
    """Ids of decisions and holds are good in every process with the same secret, and in no other."""
    with service(Limiter.connect(redis_url, deadline=5)) as one, service(Limiter.connect(redis_url, deadline=5)) as two:
        token = one.post("/v1/acquire", json={"limit": "api", "key": "a"}).json()["id"]
        hold = one.post("/v1/holds", json={"limit": "slots", "key": "a"}).json()["id"]
        assert two.post("/v1/refund", json={"id": token}).json() == {"refunded": 1}
        assert two.delete(f"/v1/holds/{hold}").json() == {"released": True}
    with service(Limiter.connect(redis_url, deadline=5), secret=SECRET + b"other") as stranger:
        assert stranger.post("/v1/refund", json={"id": token}).status_code == 400
        assert stranger.delete(f"/v1/holds/{hold}").status_code == 400


def test_the_limits_are_listed(client: httpx.Client) -> None:
    """The service tells which limits it decides by, and how."""
    listed = {limit["name"]: limit for limit in client.get("/v1/limits").json()["limits"]}
    assert list(listed) == ["api", "daily", "paced", "closed", "slots", "trial"]
    assert listed["paced"]["rates"] == ["1/hour burst 4"]
    assert (listed["closed"]["on_failure"], listed["trial"]["shadow"]) == ("closed", True)


def test_it_lives_and_is_ready(client: httpx.Client) -> None:
    """A service whose store answers says so."""
    assert client.get("/livez").json() == {"status": "ok"}
    ready = client.get("/readyz").json()
    assert (ready["status"], ready["features"]) == (
        "ready",
        {"leases": True, "deny_cache": True, "coalescing": True, "carrying": True, "changes": False},
    )
    assert client.head("/readyz").status_code == 200


def test_a_limit_is_as_the_plan_says() -> None:
    """Who names a plan gets its limit, and its id leads back to it; one that nobody knows has the limits of none."""
    rules = parse_rules(
        "version: 1\nlimits: {api: {rate: 10/hour, key: user}}\n"
        "plans: {pro: {limits: {api: {rate: 100/hour}, more: {rate: 1/s, key: user}}}}"
    )
    with service(rules=rules) as client:

        def asked(verb: str = "acquire", **more: object) -> httpx.Response:
            return client.post(f"/v1/{verb}", json={"limit": "api", "key": "k", **more})

        assert asked("peek").json()["remaining"] == 10
        assert asked("peek", plan="unheard-of").json()["remaining"] == 10
        taken = asked(plan="pro").json()
        assert taken["remaining"] == 99
        assert client.post("/v1/refund", json={"id": taken["id"]}).json() == {"refunded": 1}
        assert "accepted: the name of a limit: api, more" in asked(plan="pro", limit="x").json()["detail"]
        assert "accepted: the name of a limit: api" in asked(limit="more").json()["detail"]
        assert asked(plan=7).json()["detail"] == "plan: found 7; accepted: the name of a plan"
        listed = client.get("/v1/limits").json()
        assert [rule["name"] for rule in listed["plans"]["pro"]] == ["api", "more"]


def test_a_cost_that_is_not_said_is_that_of_the_rule() -> None:
    """Every verb that takes a cost has the rule's where a request says none."""
    rules = parse_rules("version: 1\nlimits: {dear: {rate: 10/hour, key: user, cost: 4}}")
    with service(rules=rules) as client:

        def asked(verb: str, **more: object) -> dict[str, Any]:
            answer: dict[str, Any] = client.post(f"/v1/{verb}", json={"limit": "dear", "key": "k", **more}).json()
            return answer

        assert (asked("acquire")["cost"], asked("peek")["cost"]) == (4, 4)
        assert asked("acquire", cost=1)["remaining"] == 5
        for verb in ("acquire-all", "acquire-many"):
            body = {"requests": [{"limit": "dear", "key": verb}, {"limit": "dear", "key": verb[:9], "cost": 0}]}
            costs = [each["cost"] for each in client.post(f"/v1/{verb}", json=body).json()["decisions"]]
            assert costs == [4, 0]
