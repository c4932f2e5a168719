"""Who this process says it is, and how it knows the server: for each new connection asked anew, so both can change."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import os

__all__ = ["Credentials", "FilePassword", "Password", "Tls"]

PASSWORD_BYTES_MAX = 4_096  # a file that is longer is some other file


class Credentials(Protocol):
    """Tells who connects, for each new connection anew."""

    def current(self) -> tuple[str | None, str | None]:
        """Return user and password, each ``None`` where there is none.

        Raises:
            OSError: They cannot be had now.
            ValueError: What was found can be none.
        """
        ...


@dataclass(frozen=True, slots=True)
class Password:
    """A user and a password that stay the same.

    Attributes:
        username: The user, or ``None`` for the server's default.
        password: The password, or ``None`` for none.
    """

    username: str | None = None
    password: str | None = field(default=None, repr=False)

    def current(self) -> tuple[str | None, str | None]:
        """Return both."""
        return self.username, self.password


@dataclass(frozen=True, slots=True)
class FilePassword:
    """A password in a file, read again for each new connection, so that it can be changed while a process runs.

    Connections that are open stay so. After a refusal the next attempt waits half a minute, so have the server take
    the new password before the file has it, and the old one until all processes have connected anew.

    Attributes:
        path: The file; its first line is the password.
        username: The user, or ``None`` for the server's default.
    """

    path: str | os.PathLike[str]
    username: str | None = None

    def current(self) -> tuple[str | None, str | None]:
        """Return the user, and what the file says now.

        Raises:
            OSError: The file cannot be read.
            ValueError: It is no text, empty or too long, or no regular file.
        """
        path = Path(self.path)
        if path.exists() and not path.is_file():  # a pipe would be waited for, maybe for ever
            raise ValueError("a file of a password is none")
        with path.open("rb") as file:
            content = file.read(PASSWORD_BYTES_MAX + 1)
        password = content.decode().partition("\n")[0].strip()
        if not password or len(content) > PASSWORD_BYTES_MAX:
            raise ValueError("a file of a password is empty or too long")
        return self.username, password


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """Whom a connection with TLS trusts, and what it shows of itself.

    Attributes:
        ca_file: The certificates that vouch for the server's. Default: the system's.
        cert_file: The client's own certificate, where the server asks for one.
        key_file: The key of that certificate.
    """

    ca_file: str | os.PathLike[str] | None = None
    cert_file: str | os.PathLike[str] | None = None
    key_file: str | os.PathLike[str] | None = None

    def options(self) -> dict[str, Any]:
        """Return them as redis-py calls them."""
        given = {"ssl_ca_certs": self.ca_file, "ssl_certfile": self.cert_file, "ssl_keyfile": self.key_file}
        return {name: str(path) for name, path in given.items() if path is not None}
