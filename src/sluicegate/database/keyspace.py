"""How a key is called on the server: ``{prefix}:{layout}:{algorithm}:{limit}:{key}``, never ambiguous.

The key comes last, so colons in it separate nothing. Braces are escaped, so that nobody's user name
moves a hash slot; the tag, where there will be one, is ours alone. Long keys are hashed.
"""

from __future__ import annotations

import hashlib
import re
from binascii import crc_hqx
from itertools import count
from typing import TYPE_CHECKING
from zlib import crc32

from sluicegate.utils import InvalidInputError, shape_of

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["LAYOUT", "Keyspace", "group_of"]

LAYOUT = 1  # of the values and of the names; a newer one reads this one
KEY_BYTES_MAX = 96  # beyond it a digest is shorter, and says as much
PREFIX_LENGTH_MAX = 32  # it stands in every key
SECRET_BYTES_MAX = 64  # what BLAKE2b takes
SLOTS = 16_384  # of a Cluster
TAGS_MAX = SLOTS

_ESCAPES = str.maketrans({"%": "%25", "{": "%7B", "}": "%7D"})


class Keyspace:
    """The names of one deployment's state.

    With hash tags they read ``{prefix}:{layout}:{tag}:…`` with the tag in braces, which is what decides the slot: all
    that is kept for one key lies in one slot, and keys of one tag can be decided in one call. A tag is that of a whole
    key, or of as many of its first parts as its limit says (*group*), so that what belongs to one tenant lies together.
    Tags are numbers that lie evenly among the slots: as many as there are masters, or twice as many, are spread best.

    Args:
        prefix: What all its names begin with: 1 to 32 letters, digits, ``-`` or ``_``.
        secret: Keys the digest of long keys, so that nobody can guess them from the server's keys; up to 64 bytes.
        tags: How many hash tags the keys are spread over, up to 16,384; 0 for a single server, which needs none.

    Raises:
        InvalidInputError: The prefix or the secret is refused.
    """

    __slots__ = ("_secret", "_start", "_tags", "tags")

    def __init__(self, prefix: str = "sg", *, secret: bytes = b"", tags: int = 0) -> None:
        if not isinstance(prefix, str) or not re.fullmatch(r"[A-Za-z0-9_-]{1,32}", prefix, re.ASCII):
            raise InvalidInputError("key prefix", shape_of(prefix), f"1 to {PREFIX_LENGTH_MAX} letters, digits, - or _")
        if not isinstance(secret, bytes) or len(secret) > SECRET_BYTES_MAX:
            # Its length or its type: of what is no bytes a message would show the text.
            found = shape_of(secret) if isinstance(secret, bytes) else f"a value of type {type(secret).__name__}"
            raise InvalidInputError("key secret", found, f"up to {SECRET_BYTES_MAX} bytes")
        self._start = f"{prefix}:{LAYOUT}:"
        if type(tags) is not int or not 0 <= tags <= TAGS_MAX:
            raise InvalidInputError("tags", shape_of(tags), f"a whole number from 0 to {TAGS_MAX:,}")
        self._secret = secret
        self._tags = _even_tags(tags)
        self.tags = tags

    def name(self, base: str, key: str, group: int = 0) -> str:
        """Return the name of the state of *key*.

        Args:
            base: ``algorithm:limit:``, escaped.
            key: A checked key.
            group: How many of its first parts make its tag, 0 to 8; 0 is the whole key.
        """
        start = f"{self._start}{{{self.tag(key, group)}}}:" if self.tags else self._start
        if len(key) > KEY_BYTES_MAX or "{" in key or "}" in key or "%" in key or key[0] == "~" or not key.isascii():
            return start + base + self._escaped(key)
        return start + base + key

    def names(self, base: str, keys: Sequence[str], group: int = 0) -> list[str]:
        """Return the names of the states of *keys*, which have one base and group, and one tag where there are tags."""
        together = "".join(keys)
        # What needs an escape is told by a look at all of them: this runs for every decision.
        if (
            not together.isascii()
            or any(character in together for character in "{}%~")
            or max(map(len, keys)) > KEY_BYTES_MAX
        ):
            return [self.name(base, key, group) for key in keys]
        start = f"{self._start}{{{self.tag(keys[0], group)}}}:{base}" if self.tags else self._start + base
        return [start + key for key in keys]

    @property
    def fingerprint(self) -> str:
        """What has to be equal in a fleet: otherwise its processes name one key differently, and a limit doubles."""
        secret_id = (
            hashlib.blake2b(self._secret, digest_size=8, person=b"sluicegate-id").hexdigest()
            if self._secret
            else "none"
        )
        return f"tags={self.tags} secret={secret_id}"

    @property
    def fingerprint_name(self) -> str:
        """Where the fingerprint of the fleet stands on the server."""
        return f"{self._start}fingerprint"

    def changes(self, part: str) -> str:
        """Return the name of a *part* of what a fleet is told; all parts lie in one slot."""
        return f"{self._start}{{changes}}:{part}"

    def tag(self, key: str, group: int = 0) -> int:
        """Return the number of the hash tag that the states of *key* have in a *group*; 0 where there are none."""
        if not self.tags:
            return 0
        text = group_of(key, group) if group else key
        return self._tags[crc32(text.encode("utf-8", "surrogatepass")) % self.tags]

    def companion(self, base: str, key: str, identity: str, group: int = 0) -> str:
        """Return the name of what happens once for the state of *key*, told apart by *identity*."""
        return self.name(f"once:{identity}:{base}", key, group)

    def _escaped(self, key: str) -> str:
        content = key.encode()
        if len(content) > KEY_BYTES_MAX:
            # The tilde is escaped at the start of other keys, so a digest never meets a key.
            return "~" + hashlib.blake2b(content, digest_size=16, key=self._secret).hexdigest()
        escaped = key.translate(_ESCAPES)
        return "%7E" + escaped[1:] if escaped.startswith("~") else escaped


def group_of(key: str, parts: int) -> str:
    """Return the first *parts* of a key, which colons separate: what it has in common with its group.

    A colon within the first part is written ``%3A`` there; alone it is a key that needs no such care, so the group of
    one part is that key.
    """
    first = key.split(":", parts)[:parts]
    return first[0].replace("%3A", ":") if parts == 1 else ":".join(first)


def _even_tags(tags: int) -> tuple[int, ...]:
    """Return as many numbers that lie in as many equal parts of the slots, in each the least that does."""
    found: dict[int, int] = {}
    for number in count():
        if len(found) == tags:
            break
        slot = crc_hqx(b"%d" % number, 0) % SLOTS
        found.setdefault(slot * tags // SLOTS, number)
    return tuple(found[part] for part in range(tags))
