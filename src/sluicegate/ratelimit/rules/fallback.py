"""What answers when the store cannot, for limits whose rule does not say it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sluicegate.ratelimit.limit import ON_FAILURE, Limit
from sluicegate.utils import InvalidInputError, shape_of

__all__ = ["Fallback"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fallback:
    """What answers in the store's place: ``closed`` denies, ``open`` allows.

    Attributes:
        ordinary: For limits that are not marked ``critical``. Default ``open``.
        critical: For those that are. Default ``closed``.

    Raises:
        InvalidInputError: A value is neither of the two.
    """

    ordinary: str = "open"
    critical: str = "closed"

    def __post_init__(self) -> None:
        for name in ("ordinary", "critical"):
            if getattr(self, name) not in ON_FAILURE:
                raise InvalidInputError(f"fallback {name}", shape_of(getattr(self, name)), " or ".join(ON_FAILURE))

    def limit(self, name: str, **options: Any) -> Limit:  # noqa: ANN401 - what makes a limit
        """Return the limit of these options, which falls back like this where they do not say how."""
        usual = self.critical if options.get("critical") else self.ordinary
        return Limit(name, **{"on_failure": usual, **options})
