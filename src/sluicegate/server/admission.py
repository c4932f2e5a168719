"""Lets only who knows the token ban keys and give them other rates, where there is a token."""

from __future__ import annotations

import hmac
from typing import Final

from fastapi import Request  # noqa: TC002 - the framework reads the signatures
from starlette.responses import Response  # noqa: TC002 - as above

from sluicegate.integrations import Problem
from sluicegate.server.answers import problem_answer
from sluicegate.utils import InvalidInputError

__all__ = ["Admission", "NotAdmittedError", "not_admitted"]

_SCHEME: Final = b"bearer"
_TOKEN_LENGTH_MIN: Final = 16  # as the settings have it: an empty one would be brought by who knows nothing
_ACCEPTED: Final = f"a text of at least {_TOKEN_LENGTH_MIN} characters, or None for no token"


class NotAdmittedError(Exception):
    """Raised when a request does not bring the token.

    Attributes:
        problem: What to answer.
    """

    def __init__(self) -> None:
        detail = "Authorization: found no token of this service; accepted: Bearer and what server.admin_token says"
        self.problem = Problem(status=401, title="Unauthorized", detail=detail)
        super().__init__(self.problem)


class Admission:
    """Who may do what only operators are to do.

    Args:
        token: What they have to know, at least 16 characters; ``None``: whoever reaches the service may.

    Raises:
        InvalidInputError: The token is shorter.
    """

    __slots__ = ("_token",)

    def __init__(self, token: str | None) -> None:
        if token is not None and not isinstance(token, str):
            raise InvalidInputError("admin_token", f"a value of type {type(token).__name__}", _ACCEPTED)
        if token is not None and len(token.strip()) < _TOKEN_LENGTH_MIN:
            raise InvalidInputError("admin_token", f"{len(token.strip())} characters", _ACCEPTED)
        self._token = None if token is None else token.encode()

    async def check(self, request: Request) -> None:
        """Refuse a request that does not bring the token.

        Raises:
            NotAdmittedError: It does not.
        """
        if self._token is None:
            return
        told = request.headers.get("authorization", "").encode("latin-1")  # the very bytes
        scheme, _, token = told.partition(b" ")
        # In a time that tells nothing of how much of it was right.
        if scheme.lower() != _SCHEME or not hmac.compare_digest(token.strip(), self._token):
            raise NotAdmittedError


async def not_admitted(_: Request, error: Exception) -> Response:
    """Answer a request that did not bring the token; its body is not waited for."""
    assert isinstance(error, NotAdmittedError)
    return problem_answer(error.problem, {"WWW-Authenticate": "Bearer", "Connection": "close"})
