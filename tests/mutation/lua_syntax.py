"""As much of Lua's grammar as it takes to change one thing in a script: its tokens, and where its statements end."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["Statement", "Token", "statements_of", "tokens_of"]

_TOKEN = re.compile(
    r"""(?P<space>\s+|--\[\[.*?\]\]|--[^\n]*)
      | (?P<string>'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")
      | (?P<number>\d+(?:\.\d+)?)
      | (?P<name>[A-Za-z_]\w*)
      | (?P<symbol>\.\.\.|\.\.|==|~=|<=|>=|[-+*/%^\#<>=(){}\[\];:,.])""",
    re.VERBOSE | re.DOTALL,
)
_OPENING = {"(": ")", "[": "]", "{": "}"}
_BINARY = frozenset(["+", "-", "*", "/", "%", "^", "..", "<", "<=", ">", ">=", "==", "~=", "and", "or"])
_UNARY = frozenset(("not", "-", "#"))
_CLOSING_WORDS = frozenset(("end", "else", "elseif", "until"))


class Token(NamedTuple):
    """A word of the script, and where it stands."""

    kind: str
    text: str
    start: int
    end: int
    is_operand: bool  # whether a value ends with it, so that a minus after it subtracts


@dataclass(frozen=True)
class Statement:
    """A statement, and what kind: local, function, assignment, call, if, loop, return or break."""

    kind: str
    start: int
    end: int


def tokens_of(text: str) -> list[Token]:
    """Split *text* into its tokens, without spaces and comments."""
    tokens: list[Token] = []
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None or found.lastgroup is None:
            raise SyntaxError(f"no Lua at {text[at : at + 20]!r}")
        word, kind = found.group(), found.lastgroup
        at = found.end()
        if kind == "space":
            continue
        reserved = word in _BINARY or word in _UNARY or word in ("return", "then", "do", "else", "in", "elseif", "if")
        is_operand = kind in ("string", "number") or (kind == "name" and not reserved) or word in (")", "]", "}")
        tokens.append(Token(kind, word, found.start(), found.end(), is_operand))
    return tokens


def statements_of(text: str) -> list[Statement]:
    """Return each statement of *text*, those inside of others too."""
    reader = _Reader(tokens_of(text))
    reader.block()
    assert reader.at == len(reader.tokens), "a statement was not understood"
    return reader.statements


class _Reader:
    """Walks over the tokens, and notes the statements."""

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens = tokens
        self.at = 0
        self.statements: list[Statement] = []

    @property
    def word(self) -> str:
        return self.tokens[self.at].text if self.at < len(self.tokens) else ""

    def take(self, word: str) -> None:
        assert self.word == word, f"{self.word} where {word} is expected"
        self.at += 1

    def block(self) -> None:
        while self.word and self.word not in _CLOSING_WORDS:
            first = self.at
            kind = self.statement()
            self.statements.append(Statement(kind, self.tokens[first].start, self.tokens[self.at - 1].end))

    def statement(self) -> str:
        compound = {"local": self.local, "function": self.function, "if": self.branch, "while": self.loop}
        if self.word in compound:
            return compound[self.word]()
        if self.word == "for":
            return self.loop()
        if self.word == "return":
            self.at += 1
            if self.word and self.word not in _CLOSING_WORDS:
                self.expressions()
            return "return"
        if self.word == "break":
            self.at += 1
            return "break"
        self.expressions()
        if self.word != "=":
            return "call"
        self.at += 1
        self.expressions()
        return "assignment"

    def local(self) -> str:
        self.at += 1
        if self.word == "function":
            return self.function()
        while self.tokens[self.at].kind == "name":
            self.at += 1
            if self.word != ",":
                break
            self.at += 1
        if self.word == "=":
            self.at += 1
            self.expressions()
        return "local"

    def function(self) -> str:
        self.at += 1
        while self.word != "(":
            self.at += 1
        self.brackets()
        self.block()
        self.take("end")
        return "function"

    def branch(self) -> str:
        while self.word in ("if", "elseif"):
            self.at += 1
            self.expression()
            self.take("then")
            self.block()
        if self.word == "else":
            self.at += 1
            self.block()
        self.take("end")
        return "if"

    def loop(self) -> str:
        while self.word != "do":
            self.at += 1
        self.at += 1
        self.block()
        self.take("end")
        return "loop"

    def expressions(self) -> None:
        self.expression()
        while self.word == ",":
            self.at += 1
            self.expression()

    def expression(self) -> None:
        self.operand()
        while self.word in _BINARY:
            self.at += 1
            self.operand()

    def operand(self) -> None:
        while self.word in _UNARY:
            self.at += 1
        if self.word in _OPENING:
            self.brackets()
        else:
            self.at += 1
        while self.at < len(self.tokens):
            if self.word in (".", ":"):
                self.at += 2
            elif self.word in _OPENING and self.word != "{":
                self.brackets()
            else:
                return

    def brackets(self) -> None:
        closing = [_OPENING[self.word]]
        while closing:
            self.at += 1
            if self.word in _OPENING:
                closing.append(_OPENING[self.word])
            elif self.word == closing[-1]:
                closing.pop()
        self.at += 1
