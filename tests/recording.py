"""A logger that remembers, so that tests can count lines."""

from __future__ import annotations

from typing import Self


class RecordingLogger:
    """Keeps the events that it was told."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, dict[str, object]]] = []

    def debug(self, event: str, /, **fields: object) -> None:
        """Keep it."""
        self.events.append(("debug", event, fields))

    def info(self, event: str, /, **fields: object) -> None:
        """Keep it."""
        self.events.append(("info", event, fields))

    def warning(self, event: str, /, **fields: object) -> None:
        """Keep it."""
        self.events.append(("warning", event, fields))

    def error(self, event: str, /, **fields: object) -> None:
        """Keep it."""
        self.events.append(("error", event, fields))

    def bind(self, **fields: object) -> Self:
        """Return this logger."""
        return self

    def named(self, event: str) -> list[dict[str, object]]:
        """Return the fields of each event of one name."""
        return [fields for _, name, fields in self.events if name == event]
