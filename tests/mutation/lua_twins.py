"""Asks mutants of the Lua twins, on a real server, what the oracle has answered: the first other answer kills."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Self

from tests.servers import RedisServer
from tests.twins.bundle import shipped_sources
from tests.twins.calling import Connection, ScriptStuckError
from tests.twins.questions import QUESTIONED, questions

from .lua_mutants import mutants_of
from .mutant import Tally

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .lua_mutants import LuaMutant

__all__ = ["TWINS", "LuaTwins"]

STUCK_SECONDS = 5.0  # the questions take a twentieth of a second; a mutant that takes this long goes round for ever

_SHARED = {
    "exact": ("exact", "gcra", "sliding_window_counter"),
    "window": ("fixed_window", "calendar_quota"),
}
_ASKING = """
local functions = {%s}
for _, question in ipairs(cjson.decode(ARGV[1])) do
  local name, args, expected = question[1], question[2], question[3]
  local answer = { functions[name](unpack(args)) }
  for at = 1, #expected do
    local value = answer[at]
    if value == true then value = 1 elseif value == false then value = 0 end
    if value ~= expected[at] then return name end
  end
  if #answer > #expected then return name end
end
return 'agreed'
"""

TWINS = {path: text for path, text in shipped_sources().items() if path.startswith("algorithms/")}


class LuaTwins:
    """A server of its own, on which mutants of the twins are asked; a context manager that starts and ends it."""

    def __init__(self) -> None:
        self._server = RedisServer()
        self._connection: Connection | None = None
        names = ", ".join(f"{name} = {name}" for name in QUESTIONED)
        self._asking = _ASKING % names
        self._questions = {path: _questions_for(path) for path in TWINS}

    def __enter__(self) -> Self:
        self._start()
        for path, text in TWINS.items():
            if not self.is_alive(path, text):
                raise AssertionError(f"{path} itself does not answer what the oracle does")
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def tally(self, path: str, mutants: Sequence[LuaMutant] | None = None) -> Tally:
        """Judge *mutants* of one file, or all that there are."""
        judged = mutants_of(path, TWINS[path]) if mutants is None else mutants
        alive = [mutant for mutant, text in judged if self.is_alive(path, text)]
        return Tally(path, len(judged), tuple(alive))

    def is_alive(self, path: str, text: str) -> bool:
        """Say whether the twins, with *text* in the place of the file at *path*, answer all as expected."""
        script = "\n".join([*{**TWINS, path: text}.values(), self._asking])
        assert self._connection is not None
        try:
            self._connection.send([("EVAL", script, 0, self._questions[path])])
            reply = self._connection.read()
        except ScriptStuckError:  # it would go on for ever, so the server has to go
            self._stop()
            self._start()
            return False
        return reply == b"agreed"  # an error is a death too

    def _start(self) -> None:
        self._server = RedisServer()
        self._server.start()
        self._connection = Connection(self._server.port, seconds_max=STUCK_SECONDS)

    def _stop(self) -> None:
        if self._connection is not None:
            self._connection.__exit__()
        self._server.kill()


def _questions_for(path: str) -> str:
    own = path.removeprefix("algorithms/").removesuffix(".lua")
    prefixes = tuple(f"{name}_" for name in _SHARED.get(own, (own,)))
    return json.dumps([question for name in QUESTIONED if name.startswith(prefixes) for question in questions(name)])
