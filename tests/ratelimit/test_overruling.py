"""What is in force is listed without that decisions have to wait for it."""

from __future__ import annotations

import asyncio

from sluicegate import Limiter

BANS = 5_000
AT_ONCE = 1_000


async def test_decisions_get_their_turn_while_thousands_are_listed() -> None:
    """All of them are told, in order, in parts; of a few only a few are read."""
    turns = 0

    async def turning() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with Limiter() as limiter:
        for first in range(0, BANS, AT_ONCE):
            keys = [f"key{number:04}" for number in range(first, first + AT_ONCE)]
            await limiter.bans.add(keys, seconds=BANS - first)
        await limiter.bans.add("for ever")
        other = asyncio.create_task(turning())
        told = await limiter.bans.in_force(most=10_000)
        other.cancel()
        assert turns >= BANS // 250
        assert len(told) == BANS + 1
        assert [ban.key for ban in (told[0], told[AT_ONCE], told[-2], told[-1])] == [
            "key4000",
            "key3000",
            "key0999",
            "for ever",
        ]
        assert await limiter.bans.in_force(most=3) == told[:3]
