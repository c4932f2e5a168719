"""Write docs/verbs.md from the collected conformance tests: which verb is tested where.

A cell of the table stands for one test, so the table can promise nothing that is not tested. Run it
after a change to tests/conformance/test_verbs.py: ``make verbs``. With ``--check`` it only says
whether the page is as it should be.
"""

from __future__ import annotations

import contextlib
import io
import sys
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "verbs.md"
TESTS = "tests/conformance/test_verbs.py"

HEAD = f"""# Verbs

Every verb, for every algorithm, on both stores, awaited (`Limiter`) and blocking (`BlockingLimiter`).
This page is generated from the collected tests of `{TESTS}` (`make verbs`): each mark is one test.

- **yes**: the verb works, and the test of that name says how.
- **refused**: the verb does not go with the algorithm; the test holds that `InvalidInputError` says
  what to use in its place, and that nothing was consumed.

A cell reads *awaited* / *blocking*.
"""

Cell = tuple[str, str, str]  # verb, algorithm, store


class Collector:
    """A pytest plugin that keeps what was collected."""

    def __init__(self) -> None:
        self.cells: dict[Cell, dict[str, str]] = defaultdict(dict)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Note each test's place."""
        for item in items:
            function = item.function  # type: ignore[attr-defined] # these items are functions
            verb = function.__name__.removeprefix("test_")
            where = item.callspec.params  # type: ignore[attr-defined] # all of them are parametrised
            mark = "refused" if function.__globals__["refused"](where["algorithm"], verb) else "yes"
            self.cells[verb, where["algorithm"], where["store"]][where["face"]] = mark


def collected() -> dict[Cell, dict[str, str]]:
    """Collect the tests and return the cells in the order of the tests."""
    collector = Collector()
    with contextlib.redirect_stdout(io.StringIO()) as said:
        options = ["--collect-only", "-q", "-p", "no:cacheprovider", f"--rootdir={ROOT}", str(ROOT / TESTS)]
        status = pytest.main(options, plugins=[collector])
    if status != pytest.ExitCode.OK:
        sys.exit(said.getvalue())
    return collector.cells


def page_of(cells: dict[Cell, dict[str, str]]) -> str:
    """Return the page: a table for each store, a row for each verb, a column for each algorithm."""
    verbs = list(dict.fromkeys(verb for verb, _, _ in cells))
    algorithms = list(dict.fromkeys(algorithm for _, algorithm, _ in cells))
    parts = [HEAD]
    for store in dict.fromkeys(store for _, _, store in cells):
        parts.append(f"\n## Store: {store}\n\n")
        parts.append("| verb | " + " | ".join(f"`{algorithm}`" for algorithm in algorithms) + " |\n")
        parts.append("|---" * (len(algorithms) + 1) + "|\n")
        for verb in verbs:
            marks = [cells[verb, algorithm, store] for algorithm in algorithms]
            columns = [f"{mark['async']} / {mark['sync']}" for mark in marks]
            parts.append(f"| `{verb}` | " + " | ".join(columns) + " |\n")
    parts.append(f"\n{sum(map(len, cells.values()))} tests.\n")
    return "".join(parts)


def main() -> int:
    """Write the page, or check it."""
    page = page_of(collected())
    if "--check" in sys.argv[1:]:
        if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == page:
            return 0
        print(f"{PAGE.relative_to(ROOT)} is not what the tests say: run `make verbs`")
        return 1
    PAGE.write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
