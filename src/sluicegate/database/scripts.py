"""Scripts come from packaged files, byte for byte the ones that were released, and from nowhere else.

A bundle is its files joined in the order of its manifest. Each file's SHA-256 is pinned there and
verified when the bundle is loaded; the server's SHA-1 is compared before a script first runs.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sluicegate.utils import ScriptError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

__all__ = ["Script", "load_bundle"]


@dataclass(frozen=True, slots=True)
class Script:
    """A script that a server can run.

    Attributes:
        name: What messages call it.
        source: Its text.
        sha1: The name under which the server knows it.
    """

    name: str
    source: str
    sha1: str

    @classmethod
    def of(cls, name: str, source: str) -> Script:
        """Make a script of *source*, which must never be built from input."""
        # SHA-1 is the server's choice of name, not a protection; the manifest's SHA-256 is that.
        return cls(name, source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest())


def load_bundle(name: str, root: Traversable, manifest: str) -> Script:
    """Read, verify and join the files of a bundle.

    Args:
        name: What messages call the bundle.
        root: The package directory that the manifest's paths start from.
        manifest: The manifest's path: a JSON object of file path to SHA-256, in the order of joining.

    Raises:
        ScriptError: A file is missing, or is not the one that was pinned.
    """
    parts = []
    for path, pinned in json.loads(_content(name, root, manifest)).items():
        content = _content(name, root, path)
        found = hashlib.sha256(content).hexdigest()
        if found != pinned:
            raise ScriptError(f"load {name}", f"{path} has SHA-256 {found}, the manifest pins {pinned}")
        parts.append(content.decode("utf-8"))
    return Script.of(name, "\n".join(parts))


def _content(name: str, root: Traversable, path: str) -> bytes:
    try:
        return root.joinpath(path).read_bytes()
    except OSError:
        raise ScriptError(f"load {name}", f"{path} is missing") from None
