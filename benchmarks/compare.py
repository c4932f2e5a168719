"""Compares a run with an earlier one: ``python -m benchmarks.compare [BEFORE]``, or ``make bench-compare``.

A change counts as one when it is beyond what the rounds of both runs spread: the medians of each lie
outside the other's range. Ratios between contenders are the ones to trust; absolutes depend on the day.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.environments import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["EARLIER", "FIGURES", "Change", "changes_between"]

FIGURES = ROOT / "benchmarks" / "figures.json"
EARLIER = ROOT / ".cache" / "benchmarks" / "earlier.json"
"""Where a run puts the figures that it replaces."""

SPREAD_FIGURES = ("per_second", "ratio")
SINGLE_FIGURES = (
    "p50_us",
    "p95_us",
    "p99_us",
    "p999_us",
    "client_us",
    "redis_us",
    "script_us",
    "script_calls",
    "wire_bytes",
)
MORE_IS_BETTER = frozenset(SPREAD_FIGURES)
NOISE_MIN = 0.05  # two runs of few rounds differ by as much, however narrow their ranges


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One figure of two runs.

    Attributes:
        contest: Where it was measured.
        label: Of which contender.
        name: What it is.
        before: The median of the earlier run.
        after: The median of this run.
        beyond: Whether the two differ by more than the rounds spread.
    """

    contest: str
    label: str
    name: str
    before: float
    after: float
    beyond: bool

    @property
    def ratio(self) -> float | None:
        """After against before; ``None`` where there was nothing before."""
        return self.after / self.before if self.before else None

    @property
    def word(self) -> str:
        """``better`` or ``worse`` where the change is beyond the noise, else nothing."""
        if not self.beyond:
            return ""
        return "better" if (self.after > self.before) == (self.name in MORE_IS_BETTER) else "worse"


def changes_between(before: dict[str, Any], after: dict[str, Any]) -> list[Change]:
    """Return every figure that both runs have."""
    return list(_changes(before, after))


def _changes(before: dict[str, Any], after: dict[str, Any]) -> Iterator[Change]:
    for contest, taken in after["contests"].items():
        earlier = before["contests"].get(contest, {}).get("summary", {})
        for label, figures in taken["summary"].items():
            if label not in earlier:
                continue
            for name in SPREAD_FIGURES + SINGLE_FIGURES:
                old, new = _spread(earlier[label], name), _spread(figures, name)
                if old is None or new is None:
                    continue
                yield Change(
                    contest=contest,
                    label=label,
                    name=name,
                    before=old["median"],
                    after=new["median"],
                    beyond=_beyond(old, new),
                )


def _spread(figures: dict[str, Any], name: str) -> dict[str, float] | None:
    """Return the spread of a figure; of one whose rounds were not kept, a spread without width."""
    found = figures.get("spreads", {}).get(name, figures.get(name))
    if found is None or isinstance(found, dict):
        return found
    return {"median": found, "min": found, "max": found}


def _beyond(old: dict[str, float], new: dict[str, float]) -> bool:
    def outside(figure: float, spread: dict[str, float]) -> bool:
        room = NOISE_MIN * abs(spread["median"])
        return not spread["min"] - room <= figure <= spread["max"] + room

    return outside(new["median"], old) and outside(old["median"], new)


def main() -> int:
    """Say what changed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__.partition("\n")[0])
    parser.add_argument("before", nargs="?", type=Path, help="figures of the earlier run; default: what is committed")
    parser.add_argument("--after", type=Path, default=FIGURES, help="figures of this run")
    parser.add_argument("--all", action="store_true", help="also what did not change")
    wanted = parser.parse_args()
    after = json.loads(wanted.after.read_text("utf-8"))
    where, before = _earlier(wanted.before, after)
    if before is None:
        print("There is no earlier run to compare with.")
        return 1
    changes = changes_between(before, after)
    shown = [change for change in changes if wanted.all or change.beyond]
    print(
        f"Against {where}: {len(changes)} figures, {sum(change.beyond for change in changes)} changed beyond the noise."
    )
    for change in shown:
        ratio = "" if change.ratio is None else f"x{change.ratio:.2f}"
        place = f"{change.contest} / {change.label} / {change.name}"
        print(f"{place:58} {change.before:>14,.3f} -> {change.after:>14,.3f}  {ratio:>7}  {change.word}")
    return 0


def _earlier(asked: Path | None, after: dict[str, Any]) -> tuple[str, dict[str, Any] | None]:
    """Return where the earlier run is and what it says: the one asked for, the committed one, or the one before."""
    if asked is not None:
        return str(asked), json.loads(asked.read_text("utf-8"))
    committed = subprocess.run(
        ["git", "show", f"HEAD:{FIGURES.relative_to(ROOT)}"], cwd=ROOT, capture_output=True, check=False
    )
    if committed.returncode == 0 and (told := json.loads(committed.stdout)) != after:
        return "the figures that are committed", told
    if EARLIER.exists():
        return f"the run before ({EARLIER.relative_to(ROOT)})", json.loads(EARLIER.read_text("utf-8"))
    return "", None


if __name__ == "__main__":
    sys.exit(main())
