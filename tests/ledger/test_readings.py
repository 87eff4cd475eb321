"""Readings may be lost, but never uncounted."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.ledger.readings import BATCH_MAX, ReadingsBuffer
from shared.ids import BootId
from shared.messages import Reading, Readings, encode

BOOT = BootId("boot-1")


def some(count: int) -> list[Reading]:
    return [Reading(sensor="cabinet", unit="Cel", value=number, wall_ms=number) for number in range(count)]


async def test_a_batch_waits_until_it_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "readings.sqlite"
    async with await ReadingsBuffer.open(path) as buffer:
        await buffer.add(BOOT, some(3))
        await buffer.add(BOOT, some(2))
    async with await ReadingsBuffer.open(path) as buffer:
        first = await buffer.oldest()
        assert first is not None
        assert first.message == encode(Readings(boot_id=BOOT, readings=tuple(some(3))))
        await buffer.forget(first)
        second = await buffer.oldest()
        assert second is not None
        assert second.message == encode(Readings(boot_id=BOOT, readings=tuple(some(2))))
        await buffer.forget(second)
        assert await buffer.oldest() is None


async def test_the_oldest_are_dropped_and_counted(tmp_path: Path) -> None:
    async with await ReadingsBuffer.open(tmp_path / "readings.sqlite", readings_max=10) as buffer:
        for size in (4, 4, 4, 4):
            await buffer.add(BOOT, some(size))
        assert await buffer.lost() == 8
        await buffer.told(5)
        assert await buffer.lost() == 3
        left = 0
        while (batch := await buffer.oldest()) is not None:
            left += 1
            await buffer.forget(batch)
        assert left == 2


async def test_a_batch_has_a_limit(tmp_path: Path) -> None:
    async with await ReadingsBuffer.open(tmp_path / "readings.sqlite") as buffer:
        with pytest.raises(ValueError, match=str(BATCH_MAX)):
            await buffer.add(BOOT, some(BATCH_MAX + 1))


@pytest.mark.parametrize("garbage", [b"not a database at all" * 300, b"SQLite format 3\x00" + b"\xff" * 8000])
async def test_a_damaged_buffer_is_begun_anew(tmp_path: Path, garbage: bytes) -> None:
    path = tmp_path / "readings.sqlite"
    path.write_bytes(garbage)
    async with await ReadingsBuffer.open(path) as buffer:
        await buffer.add(BOOT, some(1))
        assert await buffer.oldest() is not None
    assert path.with_name("readings.sqlite.damaged").read_bytes() == garbage
