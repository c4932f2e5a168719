"""Enumerates the mutants of a Lua file: one change each, to an operator, a number, a name or a statement."""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import TYPE_CHECKING, NamedTuple

from .lua_syntax import statements_of, tokens_of
from .mutant import Mutant

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .lua_syntax import Token

__all__ = ["LuaMutant", "mutants_of"]

_OPERATORS = {
    "<": ("<=", ">="),
    "<=": ("<", ">"),
    ">": (">=", "<="),
    ">=": (">", "<"),
    "==": ("~=",),
    "~=": ("==",),
    "+": ("-",),
    "*": ("/",),
    "/": ("*",),
    "%": ("*",),
    "and": ("or",),
    "or": ("and",),
    "not": ("",),
    "true": ("false",),
    "false": ("true",),
    "min": ("max",),
    "max": ("min",),
    "floor": ("ceil",),
    "ceil": ("floor",),
}
# A local that is not set at all is an error wherever it is read, and a function that is gone wherever it is called.
_DELETED = ("assignment", "call", "if", "loop", "return", "break")


class LuaMutant(NamedTuple):
    """A mutant, and the file's text with the change in it."""

    mutant: Mutant
    text: str


def mutants_of(path: str, text: str) -> list[LuaMutant]:
    """Return the mutants of the file at *path*, whose text is *text*, in their order in it."""
    found: dict[str, LuaMutant] = {}
    for start, end, by in sorted(_changes(text)):
        mutated = text[:start] + by + text[end:]
        if mutated not in found:
            found[mutated] = LuaMutant(_described(path, text, start, end, by), mutated)
    return list(found.values())


def _changes(text: str) -> Iterator[tuple[int, int, str]]:
    tokens = tokens_of(text)
    for at, token in enumerate(tokens):
        if token.text == "+" and tokens[at + 1].text == "0":
            continue  # it reads a text as a number, and a minus would do the same
        for by in _replacements(token, tokens[at - 1] if at else None):
            yield token.start, token.end, by
    for first, comma, last in _pairs(tokens):
        yield first.start, last.end, text[tokens[tokens.index(first) + 4].start : comma.start].strip()
        yield first.start, last.end, text[comma.end : last.start].strip()
    for statement in statements_of(text):
        if statement.kind in _DELETED:
            yield statement.start, statement.end, ""


def _replacements(token: Token, before: Token | None) -> Iterator[str]:
    if token.kind == "number":
        number = int(token.text)
        yield str(number + 1)
        yield f"(-{1 - number})" if number < 1 else str(number - 1)
    elif token.text == "-":
        yield "+" if before is not None and before.is_operand else " "
    elif token.kind != "string":
        yield from _OPERATORS.get(token.text, ())


def _pairs(tokens: list[Token]) -> Iterator[tuple[Token, Token, Token]]:
    """Find ``math.min(a, b)`` and its like: where it begins, its comma, and where it ends."""
    for at, token in enumerate(tokens):
        if token.text not in ("min", "max"):
            continue
        depth, comma = 0, None
        for later in tokens[at + 1 :]:
            depth += (later.text in "([{") - (later.text in ")]}")
            if depth == 1 and later.text == "," and comma is None:
                comma = later
            elif depth == 0:
                assert comma is not None
                yield tokens[at - 2], comma, later
                break


def _described(path: str, text: str, start: int, end: int, by: str) -> Mutant:
    """Tell a change by the line or lines that it is in, as they were and as they are."""
    lines = [found.start() for found in re.finditer(r"^", text, re.MULTILINE)]
    number = bisect_right(lines, start)
    first = lines[number - 1]
    newline = text.find("\n", end)
    last = len(text) if newline < 0 else newline
    functions = re.findall(r"^ *local function (\w+)", text[:start], re.MULTILINE)
    before = _on_one_line(text[first:last])
    after = _on_one_line(text[first:start] + by + text[end:last])
    return Mutant(path, number, functions[-1] if functions else "", before, after)


def _on_one_line(text: str) -> str:
    return " ".join(re.sub(r"--[^\n]*", "", text).split())
