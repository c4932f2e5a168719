"""Reads a file of settings, TOML or YAML, as a plain mapping; bounded, and nothing that stands in it is ever quoted."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sluicegate.utils import ConfigurationError, InvalidInputError, shape_of

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["content_of", "found_in", "read_file", "refusal"]

FILE_BYTES_MAX: Final = 131_072  # a file of settings with all its comments has a tenth; PyYAML reads 100 KB a second
DEPTH_MAX: Final = 8  # a file of settings has two levels; far deeper nesting only exhausts the stack
VALUES_MAX: Final = 10_000
TOML_DOTS_MAX: Final = 64  # in the keys of a line: tomllib remembers every beginning of a dotted key
SUFFIXES: Final = (".toml", ".yaml", ".yml")
DOCUMENT: Final = "a TOML or YAML document whose top is a mapping"
USER_IN_URL: Final = re.compile(r":.*@", re.DOTALL)
QUOTED: Final = re.compile(r"\"[^\"]*\"|'[^']*'")


def read_file(path: Path) -> dict[str, Any]:
    """Return what the file at *path* says.

    Raises:
        ConfigurationError: It cannot be read, or is no document of at most 128 KiB and eight levels.
    """
    if path.suffix not in SUFFIXES:
        raise refusal(f"{path}", f"a name that ends in {shape_of(path.suffix)}", ".toml, .yaml or .yml")
    text = content_of(path, FILE_BYTES_MAX)
    return _read_toml(text, path) if path.suffix == ".toml" else _read_yaml(text, path)


def content_of(path: Path, bytes_max: int) -> str:
    """Return the text of a file.

    Raises:
        ConfigurationError: It cannot be read, is longer, or is no UTF-8.
    """
    try:
        with path.open("rb") as file:
            content = file.read(bytes_max + 1)
        if len(content) > bytes_max:
            raise refusal(f"{path}", "a longer file", f"at most {bytes_max:,} bytes")
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise refusal(f"{path}", "bytes that are no UTF-8", "text in UTF-8") from None
    except (OSError, ValueError) as error:
        found = getattr(error, "strerror", None) or "a name that no file can have"
        raise refusal(f"{path}", found, "a file that can be read") from None


def found_in(value: object) -> str:
    """Say what was found, in the words of a file of settings; what looks like a URL with a user in it is not shown."""
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple | set | frozenset):
        return "a list"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | Path):
        text = str(value)
        return "a text that may have a password in it" if USER_IN_URL.search(text) else shape_of(text)
    return shape_of(value) if isinstance(value, bytes | int | float) else "a value of another kind"


def refusal(where: str, found: str, accepted: str) -> ConfigurationError:
    """Return the error of one problem."""
    return ConfigurationError([InvalidInputError(where, found, accepted)])


def _read_toml(text: str, path: Path) -> dict[str, Any]:
    for number, line in enumerate(text.splitlines(), 1):
        if line.count(".") > TOML_DOTS_MAX and QUOTED.sub("", line).count(".") > TOML_DOTS_MAX:
            raise refusal(f"{path}:{number}", "many dots", f"at most {TOML_DOTS_MAX} in the keys of a line")
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:  # its message may quote what stands there
        _, found, place = str(error).rpartition("(at line ")
        line = place.split(",")[0] if found else f"{text.count(chr(10)) + 1}"
        raise refusal(f"{path}:{line}", "what cannot be read", DOCUMENT) from None
    except (RecursionError, ValueError):
        raise refusal(f"{path}", "values nested too deeply, or numbers too long", DOCUMENT) from None
    level: list[Any] = [document]
    for _ in range(DEPTH_MAX):
        level = [item for each in level for item in (each.values() if isinstance(each, dict) else each)]
        level = [each for each in level if isinstance(each, dict | list)]
    if level:
        raise refusal(f"{path}", f"more than {DEPTH_MAX} levels", DOCUMENT)
    return document


def _read_yaml(text: str, path: Path) -> dict[str, Any]:
    try:
        import yaml  # noqa: PLC0415 - needed by this notation alone, and takes its time
    except ImportError:
        raise refusal(f"{path}", "a YAML file, but no package PyYAML", "PyYAML installed, or a TOML file") from None
    try:
        _check_events(yaml.parse(text, Loader=yaml.SafeLoader), path)
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        found = None if node is None else _value_of(node, loader, path)
    except yaml.YAMLError as error:  # its message quotes the line
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        where = f"{path}" if mark is None else f"{path}:{mark.line + 1}"
        raise refusal(where, "what cannot be read", DOCUMENT) from None
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise refusal(f"{path}:1", "no mapping at the top", DOCUMENT)
    return found


def _check_events(events: Iterator[Any], path: Path) -> None:
    """Refuse what would make a small file large or slow, as soon as it is met."""
    depth = 0
    for values, event in enumerate(events):
        name = type(event).__name__
        depth += name.endswith("StartEvent") and not name.startswith(("Stream", "Document"))
        depth -= name.endswith("EndEvent") and not name.startswith(("Stream", "Document"))
        where = f"{path}:{event.start_mark.line + 1}"
        if getattr(event, "anchor", None) is not None or getattr(event, "tag", None) is not None:
            raise refusal(where, "an anchor, alias or tag", "plain values")
        if depth > DEPTH_MAX or values > VALUES_MAX:
            raise refusal(where, f"more than {DEPTH_MAX} levels or {VALUES_MAX:,} values", DOCUMENT)


def _value_of(node: Any, loader: Any, path: Path) -> Any:  # noqa: ANN401 - PyYAML's own types are incomplete
    if node.id == "sequence":
        return [_value_of(item, loader, path) for item in node.value]
    if node.id == "mapping":
        found: dict[str, Any] = {}
        for key, value in node.value:
            where = f"{path}:{key.start_mark.line + 1}"
            if key.id != "scalar":
                raise refusal(where, "a name that is no text", "the name of a setting")
            if key.value in found:
                raise refusal(where, "a name that stands there twice", "each name once")
            found[key.value] = _value_of(value, loader, path)
        return found
    try:
        value = loader.construct_object(node)
    except ValueError:  # such as the 99th of a month, or ten thousand digits
        return node.value
    # YAML 1.1 takes 12:30 for a number to the base of sixty, and 2026-01-01 for a date.
    is_number = isinstance(value, int | float) and ":" not in node.value
    return value if value is None or isinstance(value, str) or is_number else node.value
