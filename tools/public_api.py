"""What users can import, written down as of the last release, and what of it a change would break: `make names`.

The description is what griffe needs to compare, as stubs without types: a section for each module that users import
from, with the names of its `__all__`. A name that several of them offer is described in the first.
"""

from __future__ import annotations

import inspect
import re
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import griffe

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE: Final = "sluicegate"
DOORS_INSIDE: Final = (f"{PACKAGE}.ratelimit.rules",)  # a door of its own within a layer
ROOT: Final = Path(__file__).parent.parent
SOURCES: Final = ROOT / "src"
DESCRIPTION: Final = ROOT / "public_api.txt"
HEADING: Final = "# "
CONSTANTS_MAX: Final = 5  # constants of constants: more would be a circle


def description(sources: Path = SOURCES) -> str:
    """Return what the package in a folder offers."""
    package = griffe.load(PACKAGE, search_paths=[sources])
    assert isinstance(package, griffe.Module)
    described: dict[str, str] = {}  # where it is defined, and the door that tells of it
    return "\n".join(_section(door, described) for door in _doors(package))


def breaks(before: str, after: str) -> list[str]:
    """Return what who wrote against one description would trip over with another; additions are none of it."""
    with tempfile.TemporaryDirectory() as folder:
        old, new = (_loaded(text, Path(folder) / name) for text, name in ((before, "before"), (after, "after")))
        return [_told(breakage) for breakage in griffe.find_breaking_changes(old, new)]


def _doors(package: griffe.Module) -> list[griffe.Module]:
    inside = [f"{PACKAGE}.{name}" for name, found in package.modules.items() if name[0] != "_" and found.exports]
    modules = griffe.ModulesCollection()
    modules[PACKAGE] = package
    return [package, *(modules[path] for path in sorted([*inside, *DOORS_INSIDE]))]


def _section(door: griffe.Module, described: dict[str, str]) -> str:
    names = sorted(str(name) for name in door.exports or ())
    lines = [f"{HEADING}{door.path}", "__all__ = [", *(f"    {name!r}," for name in names), "]"]
    for name in names:
        found = _resolved(door[name])
        first = described.setdefault(found.path, door.path)
        if first == door.path:
            lines.extend(_lines_of(name, found))
        else:
            lines.append(f"from {first} import {name}")
    return "\n".join(lines) + "\n"


def _resolved(found: griffe.Object | griffe.Alias) -> griffe.Object:
    return found.final_target if isinstance(found, griffe.Alias) else found


def _lines_of(name: str, found: griffe.Object) -> Iterator[str]:
    if isinstance(found, griffe.Class):
        bases = ", ".join(str(base) for base in found.bases)
        yield f"class {name}({bases}):" if bases else f"class {name}:"
        members = [line for own in sorted(found.all_members) for line in _member(own, found.all_members[own])]
        yield from (f"    {line}" for line in members or ["..."])
    elif isinstance(found, griffe.Function):
        yield f"def {name}{_signature(found)}: ..."
    elif not isinstance(found, griffe.Module):
        yield f"{name} = ..."


def _member(name: str, found: griffe.Object | griffe.Alias) -> Iterator[str]:
    """Return the lines of what a class has, what it inherits within the package included."""
    target = _resolved(found)
    is_special = name.startswith("__") and name.endswith("__")
    if (is_special and not isinstance(target, griffe.Function)) or (name.startswith("_") and not is_special):
        return
    yield from (f"@{kind}" for kind in ("classmethod", "staticmethod") if kind in target.labels)
    yield from _lines_of(name, target)


def _signature(function: griffe.Function) -> str:
    return str(inspect.Signature([_parameter(own) for own in function.parameters]))


def _parameter(own: griffe.Parameter) -> inspect.Parameter:
    assert own.kind is not None
    kind: inspect._ParameterKind = getattr(inspect.Parameter, own.kind.name.upper())
    if own.default is None or kind in {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}:
        return inspect.Parameter(own.name, kind)
    return inspect.Parameter(own.name, kind, default=_Written(_default(own.default)))


class _Written:
    """A default as it is written."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def _default(value: str | griffe.Expr, depth: int = 0) -> str:
    """Return a default as it is written, but constants by what they are, for this is what users have."""
    if isinstance(value, griffe.ExprName) and isinstance(value.parent, griffe.Object) and depth < CONSTANTS_MAX:
        try:
            named = _resolved(value.parent.modules_collection[value.canonical_path])
        except KeyError:  # it is none of the package's
            return str(value)
        if isinstance(named, griffe.Attribute) and named.value is not None:
            return _default(named.value, depth + 1)
    if isinstance(value, griffe.Expr) and not isinstance(value, griffe.ExprName):
        value = "".join(_default(part, depth) for part in value.iterate(flat=True))
    return re.sub(r"\s+", " ", str(value))


def _loaded(text: str, folder: Path) -> griffe.Object | griffe.Alias:
    for section in re.split(rf"^{HEADING}", text, flags=re.MULTILINE)[1:]:
        door, _, content = section.partition("\n")
        place = folder.joinpath(*door.split("."))
        place.mkdir(parents=True, exist_ok=True)
        (place / "__init__.pyi").write_text(content, encoding="utf-8")
    return griffe.load(PACKAGE, search_paths=[folder])


def _told(breakage: griffe.Breakage) -> str:
    values = " -> ".join(str(value) for value in (breakage.old_value, breakage.new_value) if value is not None)
    return f"{breakage.obj.path}: {breakage.kind.value}: {values}"


if __name__ == "__main__":
    DESCRIPTION.write_text(description(), encoding="utf-8")
    sys.stdout.write(f"{DESCRIPTION.name} is written\n")
