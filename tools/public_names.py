"""Write down all public names with their signatures, so that a change to them is seen: `make names`."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import sys
from pathlib import Path

PACKAGE = "sluicegate"
DOORS_INSIDE = (f"{PACKAGE}.ratelimit.rules",)  # a door of its own within a layer
LISTING = Path(__file__).parent.parent / "public_names.txt"


def modules() -> list[str]:
    """Return the modules that users import from: the root, each layer and rim, and the doors within."""
    root = importlib.import_module(PACKAGE)
    inside = [f"{PACKAGE}.{found.name}" for found in pkgutil.iter_modules(root.__path__) if found.name[0] != "_"]
    return [PACKAGE, *sorted([*inside, *DOORS_INSIDE])]


def listing() -> str:
    """Return one line for each public name, and one for each public attribute of a class."""
    lines = []
    for module_name in modules():
        module = importlib.import_module(module_name)
        for name in sorted(module.__all__):
            value = getattr(module, name)
            lines.append(f"{module_name}.{name}{_signature(value)}")
            # A class is told once, where it is defined for users.
            if inspect.isclass(value) and (module_name == PACKAGE or name not in _at_root()):
                lines.extend(f"{module_name}.{name}.{attribute}" for attribute in _attributes(value))
    return "\n".join(lines) + "\n"


def _at_root() -> list[str]:
    return importlib.import_module(PACKAGE).__all__  # type: ignore[no-any-return] # a list of names


def _attributes(owner: type) -> list[str]:
    names = [name for name in vars(owner) if not name.startswith("_")]
    return sorted(f"{name}{_signature(inspect.getattr_static(owner, name))}" for name in names)


def _signature(value: object) -> str:
    if isinstance(value, classmethod | staticmethod):
        value = value.__func__
    if inspect.isclass(value) and issubclass(value, BaseException):
        return ""
    if not inspect.isroutine(value) and not inspect.isclass(value):
        return ""
    try:
        parameters = inspect.signature(value).parameters.values()
    except (TypeError, ValueError):
        return ""
    if hasattr(value, "model_fields"):  # what pydantic adds is no promise of ours, and groups are long
        parameters = [parameter.replace(default=...) for parameter in parameters if parameter.name[0] != "_"]
    # Without annotations: how they are printed differs between versions of Python.
    bare = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in parameters]
    # Nor with addresses: a default that is a function is shown with the place it has in memory.
    return re.sub(r" at 0x[0-9a-f]+", "", str(inspect.Signature(bare)))


if __name__ == "__main__":
    LISTING.write_text(listing(), encoding="utf-8")
    sys.stdout.write(f"{LISTING.name} is written\n")
