"""Reads variables out of a file, and secrets out of a directory of files, as the text that each of them has."""

from __future__ import annotations

import io
import re
from difflib import get_close_matches
from ipaddress import ip_address
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from dotenv import dotenv_values
from dotenv.parser import parse_stream

from sluicegate.config.files import content_of, refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from pathlib import Path

__all__ = ["is_of_a_service", "one_variable", "read_dotenv", "read_secrets"]

DOTENV_BYTES_MAX: Final = 262_144  # several programs may share it
SECRET_BYTES_MAX: Final = 65_536  # a whole group as JSON has a few thousand
FILES_MAX: Final = 1_000  # in a directory that secrets are put into; each setting has one
OF_A_SERVICE: Final = re.compile(
    r"SLUICEGATE(?:_[A-Z0-9]+)*?_(?:SERVICE_(?P<host>HOST)|(?P<port>SERVICE_PORT(?:_[A-Z0-9]+)*)|(?P<url>PORT)"
    r"|PORT_[0-9]+_(?:TCP|UDP|SCTP)(?:(?P<own>)|_(?P<protocol>PROTO)|_(?P<number>PORT)|_(?P<address>ADDR)))"
)
"""What Kubernetes calls its variables about a service ``sluicegate``, or one whose name begins with ``sluicegate-``."""

LIKE: Final = 0.8  # how much a name has to be like one of ours to be taken for a slip of the pen


def is_of_a_service(name: str, value: str) -> bool:
    """Say whether a variable is one of those that Kubernetes tells every pod about a service that is called as we are.

    Only what says just what Kubernetes would say there is one, for the others are settings with a slip of the pen.
    """
    found = OF_A_SERVICE.fullmatch(name)
    return found is not None and SAID_THERE[found.lastgroup or "own"](value)


def one_variable(name: str, variables: Mapping[str, str]) -> str | None:
    """Return what the variable *name* says, in whatever spelling, or ``None`` where it says nothing.

    Raises:
        ConfigurationError: Two that differ only in their spelling say different things.
    """
    said = {value for each, value in variables.items() if value and each.upper() == name}
    if len(said) > 1:
        raise refusal(name, "variables that differ only in their spelling and say different things", "one of them")
    return said.pop() if said else None


def _is_address(value: str) -> bool:
    try:
        return bool(ip_address(value))
    except ValueError:
        return False


def _is_port(value: str) -> bool:
    return re.fullmatch("[0-9]{1,5}", value) is not None


def _is_url(value: str) -> bool:
    return re.fullmatch(r"(tcp|udp|sctp)://[0-9A-Fa-f.:\[\]]{2,64}:[0-9]{1,5}", value) is not None


SAID_THERE: Final[Mapping[str, Callable[[str], bool]]] = MappingProxyType(
    {
        "host": _is_address,
        "address": _is_address,
        "port": _is_port,
        "number": _is_port,
        "url": _is_url,
        "own": _is_url,
        "protocol": lambda value: value in {"tcp", "udp", "sctp"},
    }
)


def read_dotenv(path: Path, prefix: str) -> dict[str, str]:
    """Return the variables in a file of lines such as ``NAME=value``; those of others are none of our business.

    Raises:
        ConfigurationError: It cannot be read, or a line with a name that begins with *prefix* is malformed.
    """
    ours = re.compile(rf"^\s*(export\s+)?['\"]?{prefix}", re.IGNORECASE | re.MULTILINE)
    lines = []
    for binding in parse_stream(io.StringIO(content_of(path, DOTENV_BYTES_MAX))):
        text = binding.original.string
        is_ours = ours.search(text) is not None
        if is_ours and (binding.error or (binding.key is not None and binding.value is None)):
            number = binding.original.line + len(text[: len(text) - len(text.lstrip())].splitlines())
            raise refusal(f"{path}:{number}", "a line that cannot be read", f"{prefix}NAME=value, or 'value' in quotes")
        if not binding.error:
            lines.append(text)
    return {
        name: value for name, value in dotenv_values(stream=io.StringIO("".join(lines))).items() if value is not None
    }


def read_secrets(folder: Path, known: Collection[str], delimiter: str) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return what the files of a directory say that are called after settings, and the names that are nearly so.

    Others may keep their secrets in the same directory; what begins with no name of ours is not read.

    Args:
        folder: The directory.
        known: What the names of settings begin with.
        delimiter: What stands behind that.

    Raises:
        ConfigurationError: A file of ours, or the directory, cannot be read.
    """
    try:
        paths = [path for path in folder.iterdir() if path.name[:1] != "." and path.is_file()]
    except OSError as error:
        raise refusal(f"{folder}", error.strerror or "what cannot be read", "a directory that can be read") from None
    if len(paths) > FILES_MAX:
        raise refusal(f"{folder}", f"{len(paths):,} files", f"a directory of at most {FILES_MAX:,}")
    found: dict[str, str] = {}
    nearly = []
    for path in sorted(paths):
        first = path.name.lower().partition(delimiter)[0]
        if first in known:
            found[path.name] = content_of(path, SECRET_BYTES_MAX).strip()
        elif get_close_matches(first[:64], list(known), n=1, cutoff=LIKE):
            nearly.append(path.name)
    return found, tuple(nearly)
