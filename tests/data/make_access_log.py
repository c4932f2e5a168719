"""Makes ``access.log``: a small log with the traits of real ones, for tests and for the documentation.

Out of order, one cut line, odd requests, quotes in user agents, IPv6. Addresses are those set aside
for documentation (RFC 5737, RFC 3849). Run it to write the file anew; it always writes the same.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

START = datetime(2024, 3, 9, 22, 50, tzinfo=UTC)
LINES = 600
CUT_LINE = 417
PAGES = ("/", "/about", "/api/items?page=2", "/api/items/7", "/img/logo.png", "/login", "/feed.xml")
AGENTS = (
    "Mozilla/5.0 (X11; Linux x86_64; rv:123.0) Gecko/20100101 Firefox/123.0",
    "examplebot/1.0 (+https://bot.example/)",
    r"A \"quoted\" agent \\ with a backslash",
    r"Anf\xc3\xbchrung \x22und\x22 mehr",
    "-",
)
ODD_REQUESTS = (
    r"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "-",
    "GET /a path with spaces HTTP/1.1",
    "OPTIONS * HTTP/1.1",
    r"GET /search?q=\"cheap\" HTTP/1.1",
    "GET http://proxy.example/through HTTP/1.1",
)


def address(draw: random.Random, second: int) -> str:
    """Return a client: two that come in storms, a network of IPv6, and a crowd that comes now and then."""
    if 240 <= second % 900 < 280:
        return "192.0.2.7"
    if 600 <= second % 1200 < 660:
        return draw.choice(("198.51.100.20", "198.51.100.20", "192.0.2.99"))
    if draw.random() < 0.15:
        return f"2001:db8:0:1::{draw.randrange(1, 9):x}"
    return f"198.51.100.{draw.randrange(100, 140)}"


def line(draw: random.Random, second: int) -> str:
    """Return the line of a request at *second* after the start, logged under a time that is a little off."""
    at = START + timedelta(seconds=max(0, second - draw.choice((0, 0, 0, 1, 2, 30))))
    user = draw.choice(("-", "-", "-", "alice", "bob smith"))
    method = "POST" if draw.random() < 0.1 else "GET"
    request = draw.choice(ODD_REQUESTS) if draw.random() < 0.05 else f"{method} {draw.choice(PAGES)} HTTP/1.1"
    status = draw.choice((200, 200, 200, 304, 404, 500))
    size = "-" if status == 304 else str(draw.randrange(20, 90_000))
    referer = draw.choice(("-", "https://www.example/"))
    time = at.strftime("%d/%b/%Y:%H:%M:%S +0000")
    return f'{address(draw, second)} - {user} [{time}] "{request}" {status} {size} "{referer}" "{draw.choice(AGENTS)}"'


def main() -> None:
    """Write the log beside this script."""
    draw = random.Random(20240309)
    seconds = sorted(
        [draw.randrange(0, 5400) for _ in range(LINES // 3)]
        + [block + draw.randrange(240, 280) for block in range(0, 5400, 900) for _ in range(LINES // 18)]
        + [block + draw.randrange(600, 660) for block in range(0, 4800, 1200) for _ in range(LINES // 12)]
    )
    lines = [line(draw, second) for second in seconds]
    lines[CUT_LINE - 1] = lines[CUT_LINE - 1][:-9]
    Path(__file__).with_name("access.log").write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    main()
