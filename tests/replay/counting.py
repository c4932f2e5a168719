"""Counts denials the slow and simple way, from the lines themselves: what the replay must agree with."""

from __future__ import annotations

import re
from collections import Counter
from datetime import datetime
from fractions import Fraction
from ipaddress import ip_network
from pathlib import Path

SAMPLE_LOG = Path(__file__).parents[1] / "data" / "access.log"

_LINE = re.compile(r'(\S+) .*? \[([^\]]+)\] ".*" \d+ \S+ ".*" ".*"')


def whole_lines(text: str) -> list[tuple[int, str]]:
    """Return the time in seconds and the client of each whole line of a combined log, in the log's order."""
    found = []
    for line in text.splitlines():
        match = _LINE.fullmatch(line)
        if match:
            client = str(ip_network(f"{match[1]}/64", strict=False)) if ":" in match[1] else match[1]
            found.append((int(datetime.strptime(match[2], "%d/%b/%Y:%H:%M:%S %z").timestamp()), client))
    return found


def denied_by_fixed_window(requests: list[tuple[int, str]], limit: int, period: int) -> Counter[str]:
    """Count denials of each client: whatever a window holds beyond the limit."""
    windows = Counter((client, at // period) for at, client in requests)
    denied: Counter[str] = Counter()
    for (client, _), count in windows.items():
        denied[client] += max(0, count - limit)
    return denied


def denied_by_gcra(requests: list[tuple[int, str]], limit: int, period: int) -> Counter[str]:
    """Count denials of each client: whoever would be paid for more than a period ahead."""
    interval = Fraction(period, limit)
    paid_until: dict[str, Fraction] = {}
    denied: Counter[str] = Counter()
    for at, client in requests:
        until = max(paid_until.get(client, Fraction(0)), Fraction(at)) + interval
        if until <= at + period:
            paid_until[client] = until
        else:
            denied[client] += 1
    return denied
