"""What a limiter does beyond the plain way, each to be switched off by itself while it runs."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Features"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """Which of the advanced features are on; what is off is done the plain way, and decisions stay the same.

    Attributes:
        leases: Whether limits with ``mode="leased"`` take units ahead; else they are asked for one by one.
        deny_cache: Whether denials are remembered; else each is asked for.
        coalescing: Whether requests that are alike travel once in a batch; else each by itself.
    """

    leases: bool = True
    deny_cache: bool = True
    coalescing: bool = True
