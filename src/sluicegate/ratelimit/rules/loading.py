"""Rules out of a file of YAML or TOML, or every reason at once why not.

    version: 1
    limits:
      per-client:
        rate: 20/minute
        algorithm: fixed_window
        key: client_address            # or a list: [tenant, route]
        match: {path: /api/**}         # optional

Whoever mends a file should have to read it once: each problem names its line, what was found and
what is accepted, and the nearest name where one was misspelt.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from sluicegate.ratelimit.rules.document import Node, Place, read_toml, read_yaml
from sluicegate.ratelimit.rules.doubting import Doubt, doubts_of
from sluicegate.ratelimit.rules.fallback import Fallback
from sluicegate.ratelimit.rules.problems import Problems, shown
from sluicegate.ratelimit.rules.reading import rules_of
from sluicegate.utils import ConfigurationError, InvalidInputError, shape_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sluicegate.ratelimit.rules.model import Rules

__all__ = ["RULES_FILE_BYTES_MAX", "inspect_rules", "load_rules", "parse_rules"]

AS_USUAL: Final = Fallback()
RULES_FILE_BYTES_MAX = 256 * 1024  # room for a thousand rules; PyYAML reads about 100 KB a second

_READERS: Mapping[str, Callable[[str, str], Node]] = {".yaml": read_yaml, ".yml": read_yaml, ".toml": read_toml}
_FILE_ACCEPTED = "a readable file of rules, named .yaml, .yml or .toml"


def load_rules(path: str | Path, *, fallback: Fallback = AS_USUAL) -> Rules:
    """Read the rules in the file at *path*.

    Args:
        path: A file of at most 256 KiB, ``.yaml`` or ``.yml`` for YAML, ``.toml`` for TOML.
        fallback: What answers in the store's place where a rule does not say it. Default: as for `Limit`.

    Raises:
        ConfigurationError: The file cannot be read or used; its `problems` name every reason.
    """
    return _loaded(path, fallback)[0]


def inspect_rules(path: str | Path, *, fallback: Fallback = AS_USUAL) -> tuple[Rules, tuple[Doubt, ...]]:
    """Read the rules in the file at *path*, with what is legal in it but surely wrong.

    Args:
        path: As for `load_rules`.
        fallback: As for `load_rules`.

    Raises:
        ConfigurationError: The file cannot be read or used; its `problems` name every reason.
    """
    rules, doubts = _loaded(path, fallback)
    return rules, doubts()


def _loaded(path: str | Path, fallback: Fallback) -> tuple[Rules, Callable[[], tuple[Doubt, ...]]]:
    path = Path(path)
    source = shown(str(path))
    if path.suffix.lower() not in _READERS:
        raise ConfigurationError([InvalidInputError(source, f"the suffix {shape_of(path.suffix)}", _FILE_ACCEPTED)])
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):  # a pipe would be waited for, maybe for ever
            raise ConfigurationError([InvalidInputError(source, "a pipe, socket or device", _FILE_ACCEPTED)])
        with path.open("rb") as file:
            content = file.read(RULES_FILE_BYTES_MAX + 1)
    except (OSError, ValueError) as error:
        found = getattr(error, "strerror", None) or str(error)
        raise ConfigurationError([InvalidInputError(source, found, _FILE_ACCEPTED)]) from None
    return _parsed(content, path.suffix.lower().lstrip("."), source, fallback)


def parse_rules(content: bytes | str, *, notation: str = "yaml", source: str = "rules") -> Rules:
    """Read rules from *content*.

    Args:
        content: The file's bytes or text, at most 256 KiB.
        notation: ``yaml``, ``yml`` or ``toml``.
        source: What to call the file in messages.

    Raises:
        ConfigurationError: It cannot be used; its `problems` name every reason, up to 100.
    """
    return _parsed(content, notation, source, AS_USUAL)[0]


def _parsed(
    content: bytes | str, notation: str, source: str, fallback: Fallback
) -> tuple[Rules, Callable[[], tuple[Doubt, ...]]]:
    reader = _READERS.get(f".{notation}")
    if reader is None:
        raise InvalidInputError("notation", shape_of(notation), "yaml, yml or toml")
    problems = Problems(source)
    text = _text_of(content, problems)
    problems.raise_if_any()
    reading = rules_of(reader(text, source), fallback, problems)
    problems.raise_if_any()
    return reading.rules, lambda: doubts_of(reading, problems)


def _text_of(content: bytes | str, problems: Problems) -> str:
    if len(content) > RULES_FILE_BYTES_MAX:
        most = f"{RULES_FILE_BYTES_MAX:,} bytes"
        problems.add(Place(1), "", f"more than {most}", f"at most {most}")
    if isinstance(content, str):
        return content
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        problems.add(Place(line), "", f"the byte 0x{content[error.start]:02X}, which is not UTF-8", "text in UTF-8")
        return ""
