"""How a key is called on the server: ``{prefix}:{layout}:{algorithm}:{limit}:{key}``, never ambiguous.

The key comes last, so colons in it separate nothing. Braces are escaped, so that nobody's user name
moves a hash slot; the tag, where there will be one, is ours alone. Long keys are hashed.
"""

from __future__ import annotations

import hashlib
import re

from sluicegate.utils import InvalidInputError, shape_of

__all__ = ["LAYOUT", "Keyspace"]

LAYOUT = 1  # of the values and of the names; a newer one reads this one
KEY_BYTES_MAX = 96  # beyond it a digest is shorter, and says as much
PREFIX_LENGTH_MAX = 32  # it stands in every key
SECRET_BYTES_MAX = 64  # what BLAKE2b takes

_ESCAPES = str.maketrans({"%": "%25", "{": "%7B", "}": "%7D"})


class Keyspace:
    """The names of one deployment's state.

    Args:
        prefix: What all its names begin with: 1 to 32 letters, digits, ``-`` or ``_``.
        secret: Keys the digest of long keys, so that nobody can guess them from the server's keys; up to 64 bytes.

    Raises:
        InvalidInputError: The prefix or the secret is refused.
    """

    __slots__ = ("_secret", "_start")

    def __init__(self, prefix: str = "sg", *, secret: bytes = b"") -> None:
        if not isinstance(prefix, str) or not re.fullmatch(r"[A-Za-z0-9_-]{1,32}", prefix, re.ASCII):
            raise InvalidInputError("key prefix", shape_of(prefix), f"1 to {PREFIX_LENGTH_MAX} letters, digits, - or _")
        if not isinstance(secret, bytes) or len(secret) > SECRET_BYTES_MAX:
            # Its length or its type: of what is no bytes a message would show the text.
            found = shape_of(secret) if isinstance(secret, bytes) else f"a value of type {type(secret).__name__}"
            raise InvalidInputError("key secret", found, f"up to {SECRET_BYTES_MAX} bytes")
        self._start = f"{prefix}:{LAYOUT}:"
        self._secret = secret

    def name(self, base: str, key: str) -> bytes:
        """Return the name of the state of *key*.

        Args:
            base: ``algorithm:limit:``, escaped.
            key: A checked key.
        """
        # What needs an escape is told by plain look-ups: this runs for every decision.
        if len(key) > KEY_BYTES_MAX or "{" in key or "}" in key or "%" in key or key[0] == "~" or not key.isascii():
            key = self._escaped(key)
        return (self._start + base + key).encode()

    def companion(self, base: str, key: str, identity: str) -> bytes:
        """Return the name of what happens once for the state of *key*, told apart by *identity*."""
        return self.name(f"once:{identity}:{base}", key)

    def _escaped(self, key: str) -> str:
        content = key.encode()
        if len(content) > KEY_BYTES_MAX:
            # The tilde is escaped at the start of other keys, so a digest never meets a key.
            return "~" + hashlib.blake2b(content, digest_size=16, key=self._secret).hexdigest()
        escaped = key.translate(_ESCAPES)
        return "%7E" + escaped[1:] if escaped.startswith("~") else escaped
