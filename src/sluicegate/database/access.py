"""How servers are reached: as whom, trusting whom, over how many connections, within which time, and how soon again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sluicegate.utils import InvalidInputError, checked_seconds, shape_of

if TYPE_CHECKING:
    from sluicegate.database.credentials import Credentials, Tls

__all__ = ["Access"]

CONNECTIONS_MIN = 2  # one for decisions beside the one that waits for changes
CONNECTIONS_MAX = 64  # decisions travel in batches: so many sockets already wait for the same core


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How each server of a client is reached.

    Attributes:
        connect_timeout: Seconds allowed for a connection, from 0.01 to 60. Default 2.
        connections_max: The most connections to one server, from 2 to 64. Default 8. Who finds all in use waits in
            line; each limiter that listens for changes keeps one of them.
        reconnect_pause_min: Seconds until a server that could not be reached is tried again, from 0.001 to 60; twice as
            long after each further failure. Default 0.05: no storm of reconnects ...
        reconnect_pause_max: ... and the most that the pause grows to, from the least to 600. Default 1, so that a
            process is back within a second of its server.
        refused_pause: Seconds until a server that refused user or password is tried again, from 0.001 to 3,600.
            Default 30: no account is locked and no audit log flooded.
        credentials: Who connects, in place of what the URL says; asked anew for each connection.
        tls: Whom connections with TLS trust, and what they show of themselves. Default: the system's certificates.

    Raises:
        InvalidInputError: A value is out of its range.
    """

    connect_timeout: float = 2.0
    connections_max: int = 8
    reconnect_pause_min: float = 0.05
    reconnect_pause_max: float = 1.0
    refused_pause: float = 30.0
    credentials: Credentials | None = None
    tls: Tls | None = None

    def __post_init__(self) -> None:
        checked_seconds(self.connect_timeout, "connect_timeout", at_least=0.01, at_most=60)
        checked_seconds(self.reconnect_pause_min, "reconnect_pause_min", at_least=0.001, at_most=60)
        least = self.reconnect_pause_min
        checked_seconds(self.reconnect_pause_max, "reconnect_pause_max", at_least=least, at_most=600)
        checked_seconds(self.refused_pause, "refused_pause", at_least=0.001, at_most=3_600)
        if type(self.connections_max) is not int or not CONNECTIONS_MIN <= self.connections_max <= CONNECTIONS_MAX:
            accepted = f"a whole number from {CONNECTIONS_MIN} to {CONNECTIONS_MAX}"
            raise InvalidInputError("connections_max", shape_of(self.connections_max), accepted)
