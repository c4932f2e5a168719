"""A file of settings as a tree that remembers where each thing stands, whatever notation it is in.

YAML is read by the safe loader and without aliases, so a small file stays a small tree. TOML's reader
tells no places; those of its keys are looked up in the text, which is exact for ordinary files
and falls back to the nearest key or table for inline ones.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sluicegate.utils import ConfigurationError, InvalidInputError, shape_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from yaml.events import Event

__all__ = ["DEPTH_MAX", "NODES_MAX", "Entry", "Node", "Place", "read_toml", "read_yaml"]

DEPTH_MAX = 16  # a rules file has four levels; far deeper nesting only exhausts the stack
NODES_MAX = 50_000  # a thousand rules with every field named
_TOML_DOTS_MAX = 64  # eight descriptors and a glob have a quarter of it
_TOML_LINE_LENGTH_MAX = 1_000  # lines with a key's name; what is longer falls back to its table


@dataclass(frozen=True, slots=True)
class Place:
    """A line and, where known, a column, both from 1."""

    line: int
    column: int | None = None

    def within(self, source: str) -> str:
        """Write the place as editors and compilers do."""
        return f"{source}:{self.line}" if self.column is None else f"{source}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A value of the document; exactly one of the three holds it.

    Attributes:
        place: Where it begins.
        entries: The entries of a mapping.
        items: The items of a list.
        value: Anything else.
    """

    place: Place
    entries: tuple[Entry, ...] | None = None
    items: tuple[Node, ...] | None = None
    value: object = None

    @property
    def shape(self) -> str:
        """What stands here, for a message."""
        if self.entries is not None:
            return "a mapping"
        if self.items is not None:
            return "a list"
        return "nothing" if self.value is None else shape_of(self.value)


@dataclass(frozen=True, slots=True)
class Entry:
    """A key of a mapping, its place, and its value."""

    name: object
    place: Place
    node: Node


def read_yaml(text: str, source: str) -> Node:
    """Read a YAML document.

    Raises:
        ConfigurationError: It is not one, uses anchors, aliases or tags, is too deep or too large,
            or PyYAML is not installed.
    """
    try:
        import yaml  # noqa: PLC0415 - an optional package, needed by this notation alone
    except ImportError:
        raise _refusal(source, "a YAML file, but PyYAML is not installed", "PyYAML installed, or a TOML file") from None
    try:
        _check_events(yaml.parse(text, Loader=yaml.SafeLoader), source)
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return Node(place=Place(1, 1))
        return _node_of_yaml(node, loader)
    except yaml.MarkedYAMLError as error:
        place = _place_of(error.problem_mark or error.context_mark)
        raise _refusal(place.within(source), error.problem or "broken YAML", "a YAML document") from None
    except (yaml.YAMLError, ValueError) as error:
        raise _refusal(source, " ".join(str(error).split()), "a YAML document") from None


def read_toml(text: str, source: str) -> Node:
    """Read a TOML document.

    Raises:
        ConfigurationError: It is not one, or it is too deep.
    """
    for number, line in enumerate(text.splitlines(), 1):
        # tomllib remembers every beginning of a dotted key: memory in the square of its length.
        if line.count(".") > _TOML_DOTS_MAX:
            raise _refusal(
                f"{source}:{number}", f"{line.count('.'):,} dots", f"at most {_TOML_DOTS_MAX} dots in a line"
            )
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message, _, rest = str(error).partition(" (at ")
        numbers = [int(word) for word in rest.replace(",", " ").replace(")", " ").split() if word.isdigit()]
        place = Place(*numbers[:2]) if numbers else Place(text.count("\n") + 1)
        raise _refusal(place.within(source), message, "a TOML document") from None
    except (RecursionError, ValueError):
        raise _refusal(source, "values nested too deeply or numbers too long", "a TOML document") from None
    return _node_of_toml(document, (), _toml_places(text), source)


def _refusal(where: str, found: str, accepted: str) -> ConfigurationError:
    return ConfigurationError([InvalidInputError(where, found, accepted)])


def _place_of(mark: Any) -> Place:  # noqa: ANN401 - as PyYAML has it, one of two classes or nothing
    return Place(1) if mark is None else Place(mark.line + 1, mark.column + 1)


def _check_events(events: Iterator[Event], source: str) -> None:
    """Refuse what would make a small file large or slow, as soon as it is met."""
    depth = nodes = 0
    for event in events:
        name = type(event).__name__
        depth += name in ("MappingStartEvent", "SequenceStartEvent")
        depth -= name in ("MappingEndEvent", "SequenceEndEvent")
        nodes += name in ("ScalarEvent", "MappingStartEvent", "SequenceStartEvent")
        # Nine lines of aliases to aliases stand for a billion values; tags ask for types.
        if getattr(event, "anchor", None) is not None or getattr(event, "tag", None) is not None:
            raise _refusal(_place_of(event.start_mark).within(source), "an anchor, alias or tag", "plain values")
        if depth > DEPTH_MAX or nodes > NODES_MAX:
            found = f"more than {DEPTH_MAX} levels or {NODES_MAX:,} values"
            raise _refusal(_place_of(event.start_mark).within(source), found, "a file of rules")


def _node_of_yaml(node: Any, loader: Any) -> Node:  # noqa: ANN401 - PyYAML's own types are incomplete
    place = _place_of(node.start_mark)
    if node.id == "sequence":
        return Node(place=place, items=tuple(_node_of_yaml(item, loader) for item in node.value))
    if node.id == "mapping":
        entries = []
        for key, value in node.value:
            name = _node_of_yaml(key, loader)
            # YAML 1.1 takes a name such as 'off' for a truth; nobody names anything by one.
            text = key.value if isinstance(name.value, bool) else name.value
            entries.append(Entry(text, name.place, _node_of_yaml(value, loader)))
        return Node(place=place, entries=tuple(entries))
    try:
        value = loader.construct_object(node)
        # YAML 1.1 takes 22:00 for a number to the base of sixty, and 06:00 for text.
        return Node(place=place, value=node.value if isinstance(value, int | float) and ":" in node.value else value)
    except ValueError:  # such as the 99th of a month, or ten thousand digits
        return Node(place=place, value=node.value)


def _node_of_toml(value: object, path: tuple[str, ...], places: dict[tuple[str, ...], Place], source: str) -> Node:
    known = path
    while known and known not in places:
        known = known[:-1]
    place = places.get(known, Place(1))
    if len(path) > DEPTH_MAX:
        raise _refusal(place.within(source), f"more than {DEPTH_MAX} levels", "a file of rules")
    if isinstance(value, dict):
        nodes = [(name, _node_of_toml(item, (*path, name), places, source)) for name, item in value.items()]
        return Node(place=place, entries=tuple(Entry(name, node.place, node) for name, node in nodes))
    if isinstance(value, list):
        return Node(place=place, items=tuple(_node_of_toml(item, (*path, ""), places, source) for item in value))
    return Node(place=place, value=value)


def _toml_places(text: str) -> dict[tuple[str, ...], Place]:
    """Find where each table and key stands, if its line begins with it."""
    places: dict[tuple[str, ...], Place] = {}
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), 1):
        key, is_assigned, _ = line.partition("=")
        if line.lstrip().startswith("["):
            path = table = _toml_path(line)
        else:
            path = (*table, *_toml_path(f"{key}= 0")) if is_assigned else ()
        place = Place(number, len(line) - len(line.lstrip(" \t[")) + 1)
        for length in range(1, len(path) + 1):
            places.setdefault(path[:length], place)
    return places


def _toml_path(line: str) -> tuple[str, ...]:
    """Return the names that a table's or key's line gives, as TOML's own reader takes them."""
    if len(line) > _TOML_LINE_LENGTH_MAX:
        return ()
    try:
        found: object = tomllib.loads(line)
    except tomllib.TOMLDecodeError:
        return ()
    path = []
    while isinstance(found, dict) and found:
        name, found = next(iter(found.items()))
        path.append(name)
    return tuple(path)
