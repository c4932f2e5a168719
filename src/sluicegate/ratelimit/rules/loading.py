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
from typing import TYPE_CHECKING, Any
from unicodedata import normalize

from sluicegate.ratelimit.limit import Limit
from sluicegate.ratelimit.rules.document import Node, Place, read_toml, read_yaml
from sluicegate.ratelimit.rules.fields import FIELDS, MATCH_FIELDS, suggestion
from sluicegate.ratelimit.rules.model import Match, Rule, Rules
from sluicegate.utils import ConfigurationError, InvalidInputError, shape_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from sluicegate.ratelimit.rules.document import Entry

__all__ = ["LIMITS_MAX", "PROBLEMS_MAX", "RULES_FILE_BYTES_MAX", "load_rules", "parse_rules"]

RULES_FILE_BYTES_MAX = 256 * 1024  # room for a thousand rules; PyYAML reads about 100 KB a second
LIMITS_MAX = 1000  # every request is held against each of them
PROBLEMS_MAX = 100  # who reads a hundred first lines has a wrong file, not a typo

_READERS: Mapping[str, Callable[[str, str], Node]] = {".yaml": read_yaml, ".yml": read_yaml, ".toml": read_toml}
_FILE_ACCEPTED = "a readable file of rules, named .yaml, .yml or .toml"


def load_rules(path: str | Path) -> Rules:
    """Read the rules in the file at *path*.

    Args:
        path: A file of at most 256 KiB, ``.yaml`` or ``.yml`` for YAML, ``.toml`` for TOML.

    Raises:
        ConfigurationError: The file cannot be read or used; its `problems` name every reason.
    """
    path = Path(path)
    source = _shown(str(path))
    if path.suffix.lower() not in _READERS:
        raise ConfigurationError([InvalidInputError(source, f"the suffix {shape_of(path.suffix)}", _FILE_ACCEPTED)])
    try:
        with path.open("rb") as file:
            content = file.read(RULES_FILE_BYTES_MAX + 1)
    except (OSError, ValueError) as error:
        found = getattr(error, "strerror", None) or str(error)
        raise ConfigurationError([InvalidInputError(source, found, _FILE_ACCEPTED)]) from None
    return parse_rules(content, notation=path.suffix.lower().lstrip("."), source=source)


def parse_rules(content: bytes | str, *, notation: str = "yaml", source: str = "rules") -> Rules:
    """Read rules from *content*.

    Args:
        content: The file's bytes or text, at most 256 KiB.
        notation: ``yaml``, ``yml`` or ``toml``.
        source: What to call the file in messages.

    Raises:
        ConfigurationError: It cannot be used; its `problems` name every reason, up to 100.
    """
    reader = _READERS.get(f".{notation}")
    if reader is None:
        raise InvalidInputError("notation", shape_of(notation), "yaml, yml or toml")
    problems = _Problems(source)
    text = _text_of(content, problems)
    problems.raise_if_any()
    rules = _rules_of(reader(text, source), problems)
    problems.raise_if_any()
    return Rules(tuple(rules))


class _Problems:
    """What was found so far to be wrong with one file."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._found: list[tuple[Place, InvalidInputError]] = []

    def add(self, place: Place, path: str, found: str, accepted: str) -> None:
        where = f"{place.within(self._source)}: {path}" if path else place.within(self._source)
        self._found.append((place, InvalidInputError(where, found, accepted)))

    def raise_if_any(self) -> None:
        if self._found:
            ordered = sorted(self._found, key=lambda problem: (problem[0].line, problem[0].column or 0))
            raise ConfigurationError([problem for _, problem in ordered[:PROBLEMS_MAX]])

    def count(self) -> int:
        return len(self._found)


def _text_of(content: bytes | str, problems: _Problems) -> str:
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


def _rules_of(root: Node, problems: _Problems) -> list[Rule]:
    top = _entries_of(root, "", ("version", "limits"), problems)
    version = top.get("version")
    if version is None and root.entries is not None:
        problems.add(root.place, "version", "nothing", "version: 1")
    elif version is not None and (type(version.node.value) is not int or version.node.value != 1):
        problems.add(version.node.place, "version", version.node.shape, "1")
    if "limits" not in top:
        if root.entries is not None:
            problems.add(root.place, "limits", "nothing", "limits: and at least one named rule below it")
        return []
    limits = top["limits"].node
    named = _entries_of(limits, "limits", None, problems)
    if not 0 < len(named) <= LIMITS_MAX and limits.entries is not None:
        problems.add(limits.place, "limits", f"{len(named)} rules", f"1 to {LIMITS_MAX:,} rules")
    rules = [_rule_of(name, entry, problems) for name, entry in named.items()]
    return [rule for rule in rules if rule is not None]


def _rule_of(name: str, entry: Entry, problems: _Problems) -> Rule | None:
    path = f"limits.{_shown(name)}"
    before = problems.count()
    entries = _entries_of(entry.node, path, (*FIELDS, "match"), problems)
    for needed in ("rate", "key"):
        if needed not in entries and entry.node.entries is not None:
            problems.add(entry.place, f"{path}.{needed}", "nothing", f"{needed}: {FIELDS[needed].accepted}")
    values = _values_of(entries, FIELDS, path, problems)
    match = Match()
    if "match" in entries:
        within = f"{path}.match"
        parts = _entries_of(entries["match"].node, within, MATCH_FIELDS, problems)
        match = Match(**_values_of(parts, MATCH_FIELDS, within, problems))
    if problems.count() > before:
        return None
    key = values.pop("key")
    try:
        return Rule(limit=Limit(name, values.pop("rate"), **values), key=key, match=match)
    except InvalidInputError as error:  # fields that are right alone but not together
        field = next((word for word in error.where.split() if word in entries), "")
        place = entries[field].node.place if field else entry.place
        problems.add(place, f"{path}.{field}" if field else path, error.found, error.accepted)
        return None


def _values_of(
    entries: Mapping[str, Entry], fields: Mapping[str, Any], path: str, problems: _Problems
) -> dict[str, Any]:
    values = {}
    for name, entry in entries.items():
        if name in fields:
            field = fields[name]
            try:
                values[field.parameter or name] = field.read(entry.node)
            except InvalidInputError as error:
                problems.add(entry.node.place, f"{path}.{name}", error.found, error.accepted)
    return values


def _entries_of(node: Node, path: str, known: Collection[str] | None, problems: _Problems) -> dict[str, Entry]:
    """Return a mapping's entries by name, and note what is no mapping, not known, or there twice."""
    if node.entries is None:
        accepted = f"a mapping with {', '.join(known)}" if known else "a mapping from names to rules"
        problems.add(node.place, path, node.shape, accepted)
        return {}
    entries: dict[str, Entry] = {}
    spelt: dict[str, Entry] = {}  # a limit's name is normalised, so two spellings of it are one name
    for entry in node.entries:
        name = entry.name
        if not isinstance(name, str):
            problems.add(entry.place, path, f"the name {shape_of(name)}", "names that are text; put it into quotes")
            continue
        full = f"{path}.{_shown(name)}".lstrip(".")
        first = spelt.setdefault(normalize("NFC", name), entry)
        if first is not entry:
            problems.add(entry.place, full, f"it again, after line {first.place.line}", "each name once")
        elif known is not None and name not in known:
            problems.add(entry.place, full, "a name that is not known", ", ".join(known) + suggestion(name, known))
        else:
            entries[name] = entry
    return entries


def _shown(text: str) -> str:
    # Names from a file travel into terminals and logs.
    return text[:64].encode("unicode_escape").decode("ascii") if not text.isprintable() else text[:200]
