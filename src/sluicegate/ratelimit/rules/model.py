"""What a file of rules says, as frozen values: which requests, limited by what, counted for whom.

A request is a mapping from descriptor names to text (``{"client_address": "192.0.2.7", "path": "/"}``).
A rule covers a request when its match does and the request carries every descriptor of its key.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING

from sluicegate.ratelimit.rules.conditions import Match
from sluicegate.ratelimit.rules.descriptors import checked_descriptor
from sluicegate.utils import KEY_LENGTH_MAX, InvalidInputError, shape_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sluicegate.ratelimit.limit import Limit

__all__ = ["KEY_PARTS_MAX", "KeyTemplate", "Rule", "Rules"]

KEY_PARTS_MAX = 8  # each part lengthens every key; nobody limits by more things at once
_DIGEST_BYTES = 16  # two keys of one digest would share a limit: 2^64 long keys until that is likely
_EVERY_REQUEST = Match()


@dataclass(frozen=True, slots=True)
class KeyTemplate:
    """Which descriptors of a request make its key.

    Attributes:
        parts: 1 to 8 names of descriptors, such as ``("tenant", "route")``.
        declared: Further names that the file declares.

    Raises:
        InvalidInputError: A name is none of `DESCRIPTORS`, no ``header:NAME``, and not declared.
    """

    parts: tuple[str, ...]
    declared: tuple[str, ...] = field(default=(), repr=False, compare=False, kw_only=True)

    def __post_init__(self) -> None:
        if not 0 < len(self.parts) <= KEY_PARTS_MAX:
            raise InvalidInputError("key", f"{len(self.parts)} descriptors", f"1 to {KEY_PARTS_MAX} descriptors")
        object.__setattr__(self, "parts", tuple(checked_descriptor(part, self.declared) for part in self.parts))

    def key(self, descriptors: Mapping[str, str]) -> str | None:
        """Return the request's key, or ``None`` when it lacks a descriptor or has it empty.

        Two requests have one key only if all their parts are equal: separators, control characters
        and ``%`` are written as ``%XX``, and what is too long for a key as its digest.
        """
        if len(self.parts) == 1:
            value = descriptors.get(self.parts[0])
            return _escaped(value, "%", KEY_LENGTH_MAX) if value else None
        values = [descriptors.get(part) for part in self.parts]
        if not all(values):
            return None
        length_max = KEY_LENGTH_MAX // len(values) - 1  # and its separator
        return ":".join(_escaped(value or "", "%:", length_max) for value in values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule of a file.

    Attributes:
        limit: What limits the requests.
        key: For whom they are counted.
        match: Which requests are meant; by default all.
    """

    limit: Limit
    key: KeyTemplate
    match: Match = _EVERY_REQUEST


@dataclass(frozen=True, slots=True)
class Rules:
    """All rules of a file, in its order.

    Attributes:
        limits: The rules.
        declared: The descriptors that the file declares beside those that are known.

    Raises:
        InvalidInputError: Two rules have different limits of one name.
    """

    limits: tuple[Rule, ...]
    declared: tuple[str, ...] = field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        first: dict[str, int] = {}
        for at, rule in enumerate(self.limits):
            before = first.setdefault(rule.limit.name, at)
            if self.limits[before].limit != rule.limit:
                found = f"another limit named {shape_of(rule.limit.name)} after rules[{before}]"
                raise InvalidInputError(f"rules[{at}]", found, "one limit for one name")

    def matching(self, descriptors: Mapping[str, str]) -> list[tuple[Limit, str]]:
        """Return the limits that cover a request, each with its key, in the file's order.

        Args:
            descriptors: What is known of the request; names that are not known are simply left out.
        """
        found = []
        for rule in self.limits:
            if rule.match.covers(descriptors):
                key = rule.key.key(descriptors)
                if key is not None:
                    found.append((rule.limit, key))
        return found


def _escaped(value: str, escaped: str, length_max: int) -> str:
    # Nearly every value is printable and short, and passes in four C calls.
    if not (value.isascii() and value.isprintable() and "%" not in value and (len(escaped) == 1 or ":" not in value)):
        pieces = [c if c not in escaped and c.isprintable() else _hexadecimal(c) for c in value[: length_max + 1]]
        if len(value) <= length_max:
            text = "".join(pieces)
            if len(text) <= length_max:
                return text
    elif len(value) <= length_max:
        return value
    # No escaped text has '%~' in it, so no value can pose as another's digest.
    return "%~" + blake2b(value.encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES).hexdigest()


def _hexadecimal(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))
