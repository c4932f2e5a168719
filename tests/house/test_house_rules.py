"""What keeps the house small and quiet, checked on the syntax trees."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
SOURCES = sorted((ROOT / "src").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))
BESIDE = sorted(
    path for folder in ("tests", "tools", "benchmarks", "examples") for path in (ROOT / folder).rglob("*.py")
)
FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 40

# Split, so that this file does not find itself.
WORKPLACE = re.compile("|".join(("/wor" + "k/", "/tm" + "p/", r"\.\./share" + "d", r"\.librar" + "y", "/roo" + "t/")))
REGISTRY = re.compile("|".join((r"pypi\.or" + "g/", r"pythonhoste" + "d", r"registry\.npmj" + "s", "/opt/whee" + "ls")))


def functions_of(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Return the functions and methods that a file defines."""
    tree = ast.parse(path.read_text("utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return a function's length in lines, its docstring left out."""
    lines = (function.end_lineno or 0) - function.lineno + 1
    if ast.get_docstring(function) is not None:
        docstring = function.body[0]
        lines -= (docstring.end_lineno or 0) - docstring.lineno + 1
    return lines


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT / "src")))
def test_a_source_file_is_small_and_says_why_it_exists(path: Path) -> None:
    """A file opens with a docstring, has at most 400 lines, and no function of more than 40."""
    text = path.read_text("utf-8")
    tree = ast.parse(text)
    assert ast.get_docstring(tree), f"{path} has no docstring"
    assert len(text.splitlines()) <= FILE_LINES_MAX
    long = {function.name: body_lines(function) for function in functions_of(path)}
    assert {name: lines for name, lines in long.items() if lines > FUNCTION_LINES_MAX} == {}


@pytest.mark.parametrize("path", BESIDE, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_beside_the_sources_is_small_too(path: Path) -> None:
    """Tests, tools, benchmarks and examples keep to 400 lines a file as well."""
    assert len(path.read_text("utf-8").splitlines()) <= FILE_LINES_MAX


@pytest.mark.parametrize("path", TESTS, ids=lambda path: str(path.relative_to(ROOT / "tests")))
def test_each_test_says_what_it_holds(path: Path) -> None:
    """Each test has a docstring, and asserts something."""
    for function in functions_of(path):
        if not function.name.startswith("test_"):
            continue
        assert ast.get_docstring(function), f"{path.name}: {function.name} has no docstring"
        asserting = [
            node
            for node in ast.walk(function)
            if isinstance(node, ast.Assert)
            or (isinstance(node, ast.Attribute) and node.attr in {"raises", "warns", "fail"})
            or (isinstance(node, ast.Call) and "assert" in ast.unparse(node.func))
            or (
                isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2].startswith(("check", "expect"))
            )
        ]
        assert asserting, f"{path.name}: {function.name} asserts nothing"


def test_the_repository_names_no_workplace_and_no_registry() -> None:
    """No tracked file names a path of a machine or the host of a package registry."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    found = []
    for name in listed.stdout.splitlines():
        path = ROOT / name
        if name == ".ci/run" or not path.is_file():
            continue
        text = path.read_text("utf-8", errors="ignore")
        found += [f"{name}: {match.group()}" for match in (WORKPLACE.search(text), REGISTRY.search(text)) if match]
    assert found == []
