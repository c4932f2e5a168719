"""Who may import what, read from the syntax trees: import-linter holds the directions, this the doors."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

import sluicegate

ROOT = Path(sluicegate.__file__).parent
LAYERS = ("utils", "monitoring", "database", "ratelimit")
DOORS = (*LAYERS, "ratelimit.rules")  # rules files are a door of their own: the limiter does not know them
MODULES = sorted(ROOT.rglob("*.py"))


def layer_of(path: Path) -> str:
    """Return the layer or rim that a file belongs to."""
    first = path.relative_to(ROOT).parts[0]
    return first.removesuffix(".py")


def imports_of(path: Path) -> list[tuple[str, tuple[str, ...]]]:
    """Return what a file imports from the package: module and names."""
    found = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sluicegate"):
            found.append((node.module or "", tuple(alias.name for alias in node.names)))
        elif isinstance(node, ast.Import):
            found.extend((alias.name, ()) for alias in node.names if alias.name.startswith("sluicegate"))
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_another_layer_is_entered_through_its_door(path: Path) -> None:
    """From another layer a module imports only what that layer's `__init__` lists."""
    own = layer_of(path)
    for module, names in imports_of(path):
        parts = module.split(".")
        if len(parts) < 2 or parts[1] == own or parts[1] not in LAYERS:
            continue
        assert ".".join(parts[1:]) in DOORS, f"{path.name} reaches behind the door of {parts[1]}: {module}"
        listed = importlib.import_module(module).__all__
        hidden = [name for name in names if name not in listed]
        assert not hidden, f"{path.name} takes {hidden} from {module}, which does not list them"


@pytest.mark.parametrize("layer", DOORS)
def test_a_layer_lists_only_what_is_there(layer: str) -> None:
    """Each name in a layer's `__all__` exists."""
    module = importlib.import_module(f"sluicegate.{layer}")
    assert [name for name in module.__all__ if not hasattr(module, name)] == []
