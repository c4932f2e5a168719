"""Ids that a client carries and cannot make: what the service must know again, signed.

Nothing is kept between the calls, so any process with the same secret can take an id back.
"""

from __future__ import annotations

import hmac
import json
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256
from typing import Any, Final

from sluicegate.utils import InvalidInputError, shape_of

__all__ = ["SECRET_BYTES_MIN", "TOKEN_LENGTH_MAX", "TokenSigner"]

SECRET_BYTES_MIN: Final = 16  # 128 bits; fewer could be guessed offline from one id
TOKEN_LENGTH_MAX: Final = 32_768  # the longest key in UTF-8, and the rest, in base 64
_TAG_BYTES = 16  # 128 bits of HMAC-SHA256: nobody gets 2^64 tries


class TokenSigner:
    """Writes and reads signed ids.

    Args:
        secret: At least 16 bytes. Default: random, so that ids end with this process.

    Raises:
        InvalidInputError: The secret is too short.
    """

    __slots__ = ("_secret",)

    def __init__(self, secret: bytes | None = None) -> None:
        if secret is None:
            secret = secrets.token_bytes(32)
        if not isinstance(secret, bytes) or len(secret) < SECRET_BYTES_MIN:
            found = f"{len(secret)} bytes" if isinstance(secret, bytes) else shape_of(secret)
            raise InvalidInputError("secret", found, f"at least {SECRET_BYTES_MIN} bytes")
        self._secret = secret

    def signed(self, purpose: str, values: list[Any]) -> str:
        """Return an id that carries *values* for *purpose*."""
        payload = json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode()
        return _text(self._tag(purpose, payload) + payload)

    def read(self, purpose: str, token: object, where: str = "id") -> list[Any]:
        """Return the values of an id that was signed for *purpose*.

        Raises:
            InvalidInputError: It was not signed with this secret, or for something else.
        """
        accepted = f"the id of a {purpose}, as this service gave it"
        if isinstance(token, str) and token.isascii() and len(token) <= TOKEN_LENGTH_MAX:
            try:
                content = urlsafe_b64decode(token + "=" * (-len(token) % 4))
            except ValueError:
                content = b""
            tag, payload = content[:_TAG_BYTES], content[_TAG_BYTES:]
            # Comparing the text as well leaves one spelling for each id.
            if hmac.compare_digest(tag, self._tag(purpose, payload)) and _text(content) == token:
                values: list[Any] = json.loads(payload)
                return values
        found = f"text of {len(token):,} characters" if isinstance(token, str) else shape_of(token)
        raise InvalidInputError(where, found, accepted)

    def _tag(self, purpose: str, payload: bytes) -> bytes:
        # Purposes hold no NUL, so no id of one can be an id of another.
        return hmac.new(self._secret, purpose.encode() + b"\0" + payload, sha256).digest()[:_TAG_BYTES]


def _text(content: bytes) -> str:
    return urlsafe_b64encode(content).rstrip(b"=").decode()
