"""Runs mutmut with a few operators more: it knows no min for max, no number less one, and deletes no statement.

It is run as a file, ``python tests/mutation/more_operators.py run``, so that nothing of the project is imported before
mutmut has put the mutants in its place. ``outcomes`` then tells what became of them.
"""

from __future__ import annotations

import ast
import json
import re
from typing import TYPE_CHECKING

import libcst as cst
import libcst.matchers as m
import mutmut.__main__
from mutmut.mutation.data import SourceFileMutationData
from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.mutation.mutators import mutation_operators
from mutmut.stats import status_by_exit_code
from mutmut.utils.file_utils import walk_mutatable_files
from mutmut.utils.format_utils import orig_function_and_class_names_from_key

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_SWAPPED_CALLS = {"min": "max", "max": "min"}
_TURNED: dict[type[cst.BaseCompOp], type[cst.BaseCompOp]] = {
    cst.LessThan: cst.GreaterThanEqual,
    cst.LessThanEqual: cst.GreaterThan,
    cst.GreaterThan: cst.LessThanEqual,
    cst.GreaterThanEqual: cst.LessThan,
}


def number_less_one(node: cst.Integer) -> Iterable[cst.BaseExpression]:
    """Take one off a whole number; mutmut itself adds one."""
    yield cst.parse_expression(f"({node.evaluated_value - 1})")


def swapped_call(node: cst.Call) -> Iterable[cst.BaseExpression]:
    """Take the lesser for the greater, and either of the two without comparing."""
    if isinstance(node.func, cst.Name) and node.func.value in _SWAPPED_CALLS and len(node.args) > 1:
        yield node.with_changes(func=cst.Name(_SWAPPED_CALLS[node.func.value]))
        yield from (argument.value for argument in node.args)


def turned_comparison(node: cst.ComparisonTarget) -> Iterable[cst.ComparisonTarget]:
    """Say the opposite; mutmut itself moves only the boundary."""
    turned = _TURNED.get(type(node.operator))
    if turned is not None:
        yield node.with_changes(operator=turned())


def deleted_line(node: cst.SimpleStatementLine) -> Iterable[cst.SimpleStatementLine]:
    """Leave out an assignment, a call, an assertion or a return."""
    if m.matches(node, m.SimpleStatementLine(body=[m.Expr(m.SimpleString()) | m.Pass()])):
        return
    yield cst.SimpleStatementLine([cst.Pass()])


def deleted_branch(node: cst.If) -> Iterable[cst.SimpleStatementLine | cst.If]:
    """Leave out a whole ``if``; of an ``elif`` only what it does."""
    yield node.with_changes(body=cst.IndentedBlock([cst.SimpleStatementLine([cst.Pass()])]))


mutation_operators += [
    (cst.Integer, number_less_one),
    (cst.Call, swapped_call),
    (cst.ComparisonTarget, turned_comparison),
    (cst.SimpleStatementLine, deleted_line),
    (cst.If, deleted_branch),
]


@mutmut.__main__.cli.command()
def outcomes() -> None:
    """Print for each file how many of its mutants were judged, and which of them nothing killed."""
    tallies = []
    for path in sorted(walk_mutatable_files()):
        data = SourceFileMutationData(path=path)
        data.load()
        statuses = {key: status_by_exit_code[code] for key, code in data.exit_code_by_key.items()}
        judged = {key: status for key, status in statuses.items() if status != "not checked"}
        alive = [described(path, key) for key, status in judged.items() if status not in ("killed", "timeout")]
        if judged:
            tallies.append({"path": path.name, "mutants": len(judged), "alive": alive})
    print(json.dumps(tallies))


def described(path: Path, key: str) -> dict[str, str | int]:
    """Tell a mutant by its function, and the lines that it changes, as they were and as they became."""
    function, _ = orig_function_and_class_names_from_key(key)
    defined = [node for node in ast.parse(path.read_text("utf-8")).body if getattr(node, "name", None) == function]
    _, _, header, *lines = get_diff_for_mutant(key, path=path).split("\n")
    unchanged = next(at for at, line in enumerate(lines) if not line.startswith(" "))
    first = re.match(r"@@ -(\d+)", header)
    assert first is not None
    return {
        "function": function,
        "line": defined[0].lineno + int(first[1]) - 1 + unchanged,
        "before": " ".join(line[1:].strip() for line in lines if line.startswith("-")),
        "after": " ".join(line[1:].strip() for line in lines if line.startswith("+")),
    }


if __name__ == "__main__":
    mutmut.__main__.cli()
