"""How decisions are counted: a column for each way that one can end, for each stage that spared the store, and more."""

from __future__ import annotations

from typing import Final

__all__ = [
    "AGREED",
    "ALLOWED",
    "BARRED",
    "CACHED",
    "COLUMNS",
    "COMPARED",
    "DEGRADED",
    "DENIED",
    "EARLY",
    "LEASED",
    "ONLY_CANDIDATE_DENIED",
    "ONLY_CURRENT_DENIED",
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

COMPARED: Final = ("agreed", "only_candidate_denied", "only_current_denied")  # of limits with another beside them
AGREED: Final = BARRED + 1
ONLY_CANDIDATE_DENIED: Final = AGREED + 1
ONLY_CURRENT_DENIED: Final = AGREED + 2
COLUMNS: Final = AGREED + len(COMPARED)
