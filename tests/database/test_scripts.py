"""Scripts are the files that were released, byte for byte, or they are refused."""

from __future__ import annotations

import hashlib
import json
from importlib import resources
from typing import TYPE_CHECKING

import pytest

from sluicegate.database import Script, load_bundle
from sluicegate.utils import ScriptError

if TYPE_CHECKING:
    from pathlib import Path

FILES = {"lib/one.lua": b"local one = 1\n", "lib/two.lua": "local two = 'zwölf'\n".encode(), "main.lua": b"return one"}


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A folder with a bundle of three files and its manifest."""
    (tmp_path / "lib").mkdir()
    for path, content in FILES.items():
        (tmp_path / path).write_bytes(content)
    pinned = {path: hashlib.sha256(content).hexdigest() for path, content in FILES.items()}
    (tmp_path / "manifest.json").write_text(json.dumps(pinned), "utf-8")
    return tmp_path


def refusal_of(bundle: Path) -> str:
    """Return the message with which a bundle is refused."""
    with pytest.raises(ScriptError) as caught:
        load_bundle("sample", bundle, "manifest.json")
    assert caught.value.operation == "load sample"
    return caught.value.reason


def test_a_bundle_is_its_files_in_the_manifests_order(bundle: Path) -> None:
    """The text is that of the files joined, and its name for the server is the SHA-1 of the text."""
    script = load_bundle("sample", bundle, "manifest.json")
    assert script.source == b"\n".join(FILES.values()).decode()
    assert script.sha1 == hashlib.sha1(script.source.encode()).hexdigest()
    assert script == Script.of("sample", script.source)


def test_the_order_is_the_manifests_own(bundle: Path) -> None:
    """Another order in the manifest is another script, though every file is as pinned."""
    pinned = json.loads((bundle / "manifest.json").read_text("utf-8"))
    (bundle / "manifest.json").write_text(json.dumps(dict(reversed(pinned.items()))), "utf-8")
    assert load_bundle("sample", bundle, "manifest.json").source.startswith("return one\n")


@pytest.mark.parametrize("path", FILES)
@pytest.mark.parametrize("change", ["flip", "append", "cut", "carriage returns", "empty"])
def test_a_changed_file_is_refused(bundle: Path, path: str, change: str) -> None:
    """A single byte that differs from what was pinned is found, and file, digest and pin are named."""
    content = FILES[path]
    changed = {
        "flip": bytes([content[0] ^ 1]) + content[1:],
        "append": content + b" ",
        "cut": content[:-1],
        "carriage returns": content.replace(b"\n", b"\r\n") + b"\r\n",
        "empty": b"",
    }[change]
    (bundle / path).write_bytes(changed)
    found, pinned = hashlib.sha256(changed).hexdigest(), hashlib.sha256(content).hexdigest()
    assert refusal_of(bundle) == f"{path} has SHA-256 {found}, the manifest pins {pinned}"


def test_a_missing_file_is_refused(bundle: Path) -> None:
    """A file that was not packaged is named."""
    (bundle / "lib/two.lua").unlink()
    assert refusal_of(bundle) == "lib/two.lua is missing"


def test_a_missing_manifest_is_refused(bundle: Path) -> None:
    """Without a manifest nothing is loaded."""
    (bundle / "manifest.json").unlink()
    assert refusal_of(bundle) == "manifest.json is missing"


def test_the_shipped_bundle_is_whole() -> None:
    """Every Lua file of the package is pinned in a manifest, and each bundle loads."""
    root = resources.files("sluicegate.ratelimit")
    manifests = [f"stores/script/{name}.json" for name in ("manifest", "changes_write", "changes_read", "allowed")]
    pinned = [path for manifest in manifests for path in json.loads(root.joinpath(manifest).read_text("utf-8"))]
    shipped = {
        f"{folder}/{path.name}"
        for folder in ("algorithms", "stores/script")
        for path in root.joinpath(folder).iterdir()
        if path.name.endswith(".lua")
    }
    assert set(pinned) == shipped
    assert all(load_bundle("one", root, manifest).source for manifest in manifests)
