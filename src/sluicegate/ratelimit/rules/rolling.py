"""Another limit in the place of one, for some percent of its keys first; the others try it without being denied by it.

Which keys are in is told by a hash of the limit's name and the key. It is the same on every machine and in every
release, so processes agree without a word, and whoever is in at ten percent is in at twenty.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

from sluicegate.utils import InvalidInputError, checked_key, shape_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sluicegate.ratelimit.limit import Limit

__all__ = ["PERCENT_ACCEPTED", "Rollout", "checked_percent", "place_of"]

PERCENT_ACCEPTED: Final = "a number from 0 to 100"
_PERCENT_MAX: Final = 100
_PLACE_BYTES: Final = 8  # so fine that a thousandth of a percent of a million keys is ten of them
_PLACES: Final = 1 << 8 * _PLACE_BYTES
_PERSON: Final = b"sluicegate-roll"  # no other hash of such texts is this one


def place_of(name: str, key: str) -> int:
    """Return where a key stands among all keys of the limit of that name, from 0 to 2^64 - 1.

    That is BLAKE2b of 8 bytes, personalised with ``sluicegate-roll``, of the name, a NUL and the key in UTF-8, read
    from its greatest byte to its least. It never changes, or keys would change sides in the midst of a roll-out.
    """
    digest = blake2b(f"{name}\0{key}".encode(), digest_size=_PLACE_BYTES, person=_PERSON).digest()
    return int.from_bytes(digest, "big")


def checked_percent(value: object) -> float:
    """Return *value* if it may be a percentage.

    Raises:
        InvalidInputError: It is no number from 0 to 100.
    """
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _PERCENT_MAX:
        return value
    raise InvalidInputError("percent", shape_of(value), PERCENT_ACCEPTED)


@dataclass(frozen=True, slots=True)
class Rollout:
    """What a limit is to become, and for which part of its keys it is that already.

    Both limits are asked for every key: the one in force, and the other beside it, which never denies. Each has a state
    of its own, so neither begins anew when a key changes sides. A limit on trial (``shadow``) becomes one that is
    enforced; it is then one limit with one state, which is enforced for some keys and not for the others.

    Attributes:
        limit: The limit as it is.
        candidate: What it is to become, with the same name. ``None`` for a limit on trial, which is to be enforced.
        percent: The share of the keys for which the candidate is in force, from 0 (all of them only try it) to 100.

    Raises:
        InvalidInputError: The percentage is none; or the candidate has another name, is the limit as it is, is on trial
            itself, stands beside a limit on trial or is missing beside one in force; or one of them is a
            ``concurrency`` limit, of which nobody knows how long it would have been held.
    """

    limit: Limit
    candidate: Limit | None = None
    percent: float = field(kw_only=True)
    _inside: tuple[Limit, ...] = field(init=False, repr=False, compare=False)
    _outside: tuple[Limit, ...] = field(init=False, repr=False, compare=False)
    _below: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        limit, candidate = self.limit, self.candidate
        set_ = object.__setattr__
        # Of the number as it is written: 0.1 is a thousandth, whatever the nearest binary fraction is.
        set_(self, "_below", int(Fraction(str(checked_percent(self.percent))) * _PLACES / _PERCENT_MAX))
        if candidate is None:
            if not limit.shadow:
                accepted = "what it is to become, or shadow: true for a limit that is new"
                raise InvalidInputError("rollout", f"nothing that changes of {limit}", accepted)
            set_(self, "_inside", (replace(limit, shadow=False),))
            set_(self, "_outside", (limit,))
            return
        _check_candidate(limit, candidate)
        candidate = replace(candidate, candidate=True)
        set_(self, "candidate", candidate)
        set_(self, "_inside", (candidate, replace(limit, shadow=True, beside=True)))
        set_(self, "_outside", (limit, replace(candidate, shadow=True, beside=True)))

    def includes(self, key: str) -> bool:
        """Say whether the candidate is in force for a key."""
        return place_of(self.limit.name, checked_key(key)) < self._below

    def limits_for(self, key: str) -> tuple[Limit, ...]:
        """Return what has to be asked for a key in one request: what is in force, then what runs beside it, if any."""
        return self._inside if self.includes(key) else self._outside

    @property
    def becomes(self) -> Limit:
        """The limit that is in force for the keys that are in."""
        return self._inside[0]

    @property
    def in_force(self) -> tuple[Limit, ...]:
        """The limits of which each holds for some keys: the one as it is, what it is to become, or both."""
        sides = (self._outside[0], self._inside[0])
        return sides[:1] if self.percent == 0 else sides[1:] if self.percent == _PERCENT_MAX else sides

    @property
    def limits(self) -> tuple[Limit, ...]:
        """All limits that may be asked, the one as it is first and what it is to become next."""
        return (self._outside[0], *self._inside, *self._outside[1:])

    def with_known(self, known: Mapping[Limit, Limit]) -> Rollout:
        """Return the same with the very limits of *known* where they are equal: what is known of those stays known."""
        kept = replace(self, limit=known.get(self.limit, self.limit))
        for name in ("_inside", "_outside"):
            object.__setattr__(kept, name, tuple(known.get(limit, limit) for limit in getattr(kept, name)))
        return kept

    def as_json(self) -> dict[str, Any]:
        """Return it as a percentage and the limit that it leads to."""
        limit = self.becomes
        return {
            "percent": self.percent,
            "rates": [str(rate) for rate in limit.rates] or [str(limit.plan.capacity)],
            "algorithm": limit.algorithm,
            "mode": limit.mode,
            "on_failure": limit.on_failure,
            "critical": limit.critical,
        }


def _check_candidate(limit: Limit, candidate: Limit) -> None:
    if candidate.name != limit.name:
        raise InvalidInputError("rollout", f"a limit named {shape_of(candidate.name)}", f"one named {limit.name!r}")
    if limit.shadow:
        raise InvalidInputError("rollout", "other fields for a limit on trial", "percent alone, or shadow: false")
    if candidate.shadow:
        raise InvalidInputError("rollout", "a limit on trial", "one to be enforced; it is tried in any case")
    if limit.plan.holds or candidate.plan.holds:
        accepted = "it only where units are taken, not held; a new limit of that kind takes percent alone"
        raise InvalidInputError("rollout", "algorithm concurrency", accepted)
    if replace(candidate, candidate=False) == limit:
        raise InvalidInputError("rollout", f"{limit} as it is", "something that changes")
