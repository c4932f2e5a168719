"""Modules keep no state: what a limiter knows belongs to the limiter, so that two of them never meet."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import sluicegate

ROOT = Path(sluicegate.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))

# A table may stand at module level as a literal that nothing changes; what these make is there to be changed.
CONTAINERS = {"list", "dict", "set", "bytearray", "defaultdict", "deque", "OrderedDict", "Counter", "ChainMap"}
WEAK_CONTAINERS = {"WeakSet", "WeakKeyDictionary", "WeakValueDictionary"}
SHARED = {"Lock", "RLock", "Condition", "Event", "Semaphore", "BoundedSemaphore", "Barrier", "Queue", "SimpleQueue"}
RUNNING = {"ContextVar", "local", "count", "cycle"}
CHANGING = CONTAINERS | WEAK_CONTAINERS | SHARED | RUNNING
CACHES = {"cache", "lru_cache"}
LITERALS = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)
ADDING = {"append", "appendleft", "extend", "insert", "update", "setdefault", "add"}
TAKING = {"remove", "pop", "popleft", "popitem", "clear", "discard"}
CHANGES = ADDING | TAKING | {"sort", "reverse"}


def state_in(tree: ast.Module) -> list[str]:
    """Return what a module keeps, or changes, that outlives a call: each with its line."""
    return [*bindings_in(tree), *changes_in(tree, tables_in(tree))]


def values_in(tree: ast.Module) -> list[tuple[list[str], ast.expr]]:
    """Return what is bound at module level: names and value."""
    found = []
    for node in tree.body:
        if isinstance(node, ast.Assign):
            found.append(([name_of(target) for target in node.targets], node.value))
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            found.append(([name_of(node.target)], node.value))
    return found


def tables_in(tree: ast.Module) -> set[str]:
    """Return the names of the literal lists, dicts and sets at module level."""
    return {name for names, value in values_in(tree) if isinstance(value, LITERALS) for name in names}


def bindings_in(tree: ast.Module) -> list[str]:
    """Return what is bound at module level and made to be changed, or not named as a constant."""
    found = []
    for names, value in values_in(tree):
        if isinstance(value, ast.Call) and called(value) in CHANGING:
            found.append(f"{value.lineno}: {names} is made to be changed")
        elif isinstance(value, LITERALS):
            found += [f"{value.lineno}: {name} is no constant" for name in names if not is_constant(name)]
    return found


def changes_in(tree: ast.Module, tables: set[str]) -> list[str]:
    """Return where a module changes one of its tables, rebinds a global or remembers calls."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Global):
            found.append(f"{node.lineno}: global {node.names}")
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node in tree.body:
            cached = CACHES & {called(decorator) for decorator in node.decorator_list}
            found += [f"{node.lineno}: {node.name} keeps a {name}" for name in cached]
        elif isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load) and name_of(node.value) in tables:
            found.append(f"{node.lineno}: {name_of(node.value)} is changed")
        elif isinstance(node, ast.Attribute) and node.attr in CHANGES and name_of(node.value) in tables:
            found.append(f"{node.lineno}: {name_of(node.value)}.{node.attr}")
    return found


def is_constant(name: str) -> bool:
    """Tell whether a name is one that is only read."""
    return name == "__all__" or name.isupper()


def name_of(node: ast.expr) -> str:
    """Return a plain name, or nothing for any other expression."""
    return node.id if isinstance(node, ast.Name) else ""


def called(node: ast.expr) -> str:
    """Return the last part of the name that is called, subscripted or decorated with."""
    while isinstance(node, ast.Call | ast.Subscript):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.attr if isinstance(node, ast.Attribute) else name_of(node)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_keeps_no_state(path: Path) -> None:
    """No module holds what a call changes: no container or lock, no `global`, no cache, no write to a table."""
    assert state_in(ast.parse(path.read_text("utf-8"))) == []


@pytest.mark.parametrize(
    "text",
    [
        "seen = []",
        "SEEN: list[str] = list()",
        "_lock = threading.Lock()",
        "_seen: deque[int] = deque[int](maxlen=3)",
        "COUNTS = {}\ndef count(name): COUNTS[name] = 1",
        "COUNTS: dict[str, int] = {}\ndef forget(name): del COUNTS[name]",
        "SEEN = set()",
        "NAMES = ['a']\ndef more(name): NAMES.append(name)",
        "total = 0\ndef more():\n    global total\n    total += 1",
        "@functools.lru_cache(maxsize=9)\ndef zone(name): return name",
    ],
)
def test_state_in_a_module_is_seen(text: str) -> None:
    """Each way of keeping state in a module is found by the check above."""
    assert len(state_in(ast.parse(text))) == 1
