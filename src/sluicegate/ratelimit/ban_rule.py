"""When denials of a key become a ban, and for how long: a part of a limit, fail2ban's idea with its own numbers."""

from __future__ import annotations

from dataclasses import dataclass

from sluicegate.utils import InvalidInputError, checked_seconds, shape_of

__all__ = ["AFTER_MAX", "BAN_SECONDS_MAX", "BAN_SECONDS_MIN", "ESCALATE_MAX", "BanRule"]

AFTER_MAX = 1_000  # denials to remember of each key
BAN_SECONDS_MIN = 0.001
BAN_SECONDS_MAX = 366 * 86_400.0  # what is to last longer is decided by somebody
ESCALATE_MAX = 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BanRule:
    """A key that is denied so often within so long is banned under the limit.

    Denials are counted in each process for itself, those that needed no command included. Those of a ban itself, of a
    fallback, of a shadow limit and of who waits are not.

    Args:
        after: How many denials lead to a ban, from 1 to 1,000.
        within: Within how many seconds, from 0.001 to 31,622,400.
        duration: Seconds that the first ban lasts, from 0.001 to 31,622,400.
        escalate: By how much each further ban is longer, from 1 (default: all are equal) to 100.
        at_most: Seconds that a ban lasts at most. Default: a day, or *duration* where that is longer.
        forget_after: Seconds after the end of a ban after which the next is a first one again. Default: *at_most*.

    Raises:
        InvalidInputError: A value is out of its range, or *at_most* is less than *duration*.
    """

    after: int
    within: float
    duration: float
    escalate: float = 1.0
    at_most: float | None = None
    forget_after: float | None = None

    def __post_init__(self) -> None:
        if type(self.after) is not int or not 1 <= self.after <= AFTER_MAX:
            raise InvalidInputError("ban after", shape_of(self.after), f"a number of denials from 1 to {AFTER_MAX:,}")
        for name in ("within", "duration"):
            _checked(getattr(self, name), name)
        escalate = self.escalate
        if isinstance(escalate, bool) or not isinstance(escalate, int | float) or not 1 <= escalate <= ESCALATE_MAX:
            raise InvalidInputError("ban escalate", shape_of(escalate), f"a number from 1 to {ESCALATE_MAX:g}")
        if self.at_most is None:
            object.__setattr__(self, "at_most", max(86_400.0, self.duration))
        elif _checked(self.at_most, "at_most") < self.duration:
            raise InvalidInputError(
                "ban at_most", shape_of(self.at_most), f"at least the first ban's {self.duration:g}"
            )
        if self.forget_after is None:
            object.__setattr__(self, "forget_after", self.at_most)
        _checked(self.forget_after, "forget_after")


def _checked(value: object, name: str) -> float:
    return checked_seconds(value, f"ban {name}", at_least=BAN_SECONDS_MIN, at_most=BAN_SECONDS_MAX)
