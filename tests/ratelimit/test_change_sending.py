"""What is changed by rule is sent without anybody who waits for it, and without end where it cannot be."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sluicegate import BanRule, Limit, Limiter
from sluicegate.ratelimit.bans import rule_edit
from tests.recording import RecordingLogger
from tests.servers import RedisServer

if TYPE_CHECKING:
    from sluicegate.ratelimit.stores.change_log import Edit

STRICT = Limit("strict", "1/hour", ban=BanRule(after=3, within=60, duration=600))


def banning(key: str) -> Edit:
    """Return what bans a key by the limit's rule."""
    assert STRICT.ban is not None
    return rule_edit(key, STRICT.name, STRICT.ban)


async def test_what_cannot_be_sent_is_tried_once_a_second() -> None:
    """An attack while the server is away, or full, fills neither the server's time nor the log."""
    logger = RecordingLogger()
    with RedisServer() as server:
        async with Limiter.connect(server.url, deadline=5, changes=True, logger=logger) as limiter:
            await limiter.acquire(STRICT, "key")
            server.kill()
            for number in range(30):
                limiter.engine.ruling.changes.post(banning(f"key{number}"))
                await asyncio.sleep(0.05)
    told = [fields["changes"] for fields in logger.named("changes.unsent")]
    assert 1 <= len(told) <= 3
    assert sum(told) > 1
