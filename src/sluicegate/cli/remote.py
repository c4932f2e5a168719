"""Talks to a running service with what Python has on board."""

from __future__ import annotations

import json
import ssl
from http.client import HTTPException
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, Request, build_opener

from sluicegate.cli.exits import AwayError
from sluicegate.utils import InvalidInputError, checked_service_url

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Service"]

_TIMEOUT_SECONDS = 10.0
_ANSWER_BYTES_MAX = 67_108_864  # a decision is a few hundred; a thousand bans of the longest keys are fifty megabytes
_UNAUTHORIZED = 401
_AUTHORIZATION = "Authorization"
_DENIED = 429
_CLIENT_ERRORS = range(400, 500)


class Service:
    """The HTTP interface of a service.

    Args:
        url: Where it is, such as ``http://127.0.0.1:8000``.
        token: Returns what operators have to know, if anything; asked when the service wants it.

    Raises:
        InvalidInputError: It is no URL of a service.
    """

    def __init__(self, url: str, token: Callable[[], str | None] = lambda: None) -> None:
        self._url = checked_service_url(url, "--url").rstrip("/")
        self._token = token
        # A proxy for the world is no way to this service.
        self._opener = build_opener(ProxyHandler({}))

    def acquire(self, limit: str, key: str, cost: int | None, plan: str) -> dict[str, Any]:
        """Take units, by default what the rule says, and return the decision."""
        return self._post("acquire", {"limit": limit, "key": key, **_if_said(cost), **_if_named(plan)})

    def peek(self, limit: str, key: str, cost: int | None, plan: str) -> dict[str, Any]:
        """Return the decision that an acquire would get."""
        return self._post("peek", {"limit": limit, "key": key, **_if_said(cost), **_if_named(plan)})

    def reset(self, limit: str, key: str, plan: str) -> bool:
        """Forget a key, and say whether there was something to forget."""
        return bool(self._post("reset", {"limit": limit, "key": key, **_if_named(plan)})["reset"])

    def ban(self, keys: list[str], seconds: float | None, reason: str, limit: str | None, plan: str) -> dict[str, Any]:
        """Ban keys, and return the bans."""
        more = {"seconds": seconds} if seconds is not None else {}
        return self._post("bans", {"keys": keys, "reason": reason, **more, **_under(limit, plan)})

    def lift(self, keys: list[str], limit: str | None, plan: str) -> dict[str, Any]:
        """Lift the bans of keys, and return how many there were."""
        return self._post("bans/lift", {"keys": keys, **_under(limit, plan)})

    def bans(self) -> dict[str, Any]:
        """Return the bans that are in force."""
        return self._asked(Request(f"{self._url}/v1/bans"))  # noqa: S310 - the scheme was checked

    def override(self, limit: str, key: str, rate: str, seconds: float | None, plan: str) -> dict[str, Any]:
        """Give a key another rate, and return the override."""
        more = {"seconds": seconds} if seconds is not None else {}
        return self._post("overrides", {"limit": limit, "key": key, "rate": rate, **more, **_if_named(plan)})

    def drop(self, limit: str, key: str, plan: str) -> dict[str, Any]:
        """Drop an override, and return whether there was one."""
        return self._post("overrides/drop", {"limit": limit, "key": key, **_if_named(plan)})

    def overrides(self) -> dict[str, Any]:
        """Return the overrides that are in force."""
        return self._asked(Request(f"{self._url}/v1/overrides"))  # noqa: S310 - the scheme was checked

    def _post(self, verb: str, body: dict[str, Any]) -> dict[str, Any]:
        content = json.dumps(body).encode()
        return self._asked(Request(f"{self._url}/v1/{verb}", content, {"Content-Type": "application/json"}))  # noqa: S310 - the scheme was checked

    def _asked(self, request: Request) -> dict[str, Any]:
        try:
            with self._opener.open(request, timeout=_TIMEOUT_SECONDS) as response:
                return self._parsed(response.read(_ANSWER_BYTES_MAX))
        except HTTPError as error:
            with error:
                answer = self._parsed(error.read(_ANSWER_BYTES_MAX))
            if error.code == _DENIED and "allowed" in answer:
                return answer
            if error.code == _UNAUTHORIZED and not request.has_header(_AUTHORIZATION) and (token := self._token()):
                # Not to be told where a redirection leads to.
                request.add_unredirected_header(_AUTHORIZATION, f"Bearer {token}".encode().decode("latin-1"))
                return self._asked(request)
            detail = str(answer.get("detail", f"status {error.code}"))
            if error.code in _CLIENT_ERRORS:
                raise _RefusedError(detail) from None
            raise AwayError(f"{self._url}: {detail}") from None
        except (URLError, OSError, HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            raise AwayError(f"{self._url}: {reason}; {_hint_for(reason)}") from None

    def _parsed(self, content: bytes) -> dict[str, Any]:
        try:
            answer = json.loads(content)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise AwayError(f"{self._url}: what answers there is no Sluicegate service")
        return answer


def _hint_for(reason: object) -> str:
    if isinstance(reason, ssl.SSLCertVerificationError):
        return "the service runs, but its certificate is not trusted: SSL_CERT_FILE=CA.pem names who vouches for it"
    if isinstance(reason, ssl.SSLError):
        return "what answers there speaks no HTTPS that this machine does; is it http://?"
    return "is the service running? Start it with: sluicegate serve --rules FILE"


def _if_said(cost: int | None) -> dict[str, int]:
    return {} if cost is None else {"cost": cost}


def _if_named(plan: str) -> dict[str, str]:
    return {"plan": plan} if plan else {}


class _RefusedError(InvalidInputError):
    """The service's own line about what it refused."""

    def __init__(self, line: str) -> None:
        super().__init__("service", line, "")

    def __str__(self) -> str:
        return self.found


def _under(limit: str | None, plan: str) -> dict[str, str]:
    return {} if limit is None else {"limit": limit, **_if_named(plan)}
