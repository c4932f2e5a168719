"""How decisions are counted: a column for each way that one can end, and one for each stage that spared the store."""

from __future__ import annotations

from typing import Final

__all__ = [
    "ALLOWED",
    "BARRED",
    "CACHED",
    "COLUMNS",
    "DEGRADED",
    "DENIED",
    "EARLY",
    "LEASED",
    "OUTCOMES",
    "SHADOW_DENIED",
]

OUTCOMES: Final = ("denied", "allowed", "shadow_denied", "degraded_denied", "degraded_allowed")
DENIED: Final = 0  # the first two are in the order of False and True
ALLOWED: Final = 1
SHADOW_DENIED: Final = 2
DEGRADED: Final = 3  # stands before the degraded ones

EARLY: Final = ("deny_cache", "lease", "ban")  # counted beside their outcome
CACHED: Final = len(OUTCOMES)
LEASED: Final = CACHED + 1
BARRED: Final = CACHED + 2
COLUMNS: Final = BARRED + 1
