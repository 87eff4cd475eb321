"""A bus shows that it lives, and a stuck one does not."""

import asyncio
import threading

from edge_agent.links.backlog import Priority
from edge_agent.links.bus import Bus
from edge_agent.links.line import Line
from shared.clock import SystemClock


class SilentPort:
    """A port that nobody answers on."""

    def write(self, data: bytes) -> None:
        pass

    def read(self, wait_ms: int) -> bytes:
        return b""

    def close(self) -> None:
        pass


async def test_a_job_that_hangs_stops_the_beat() -> None:
    beats = 0
    beaten = threading.Event()
    release = threading.Event()

    def beat() -> None:
        nonlocal beats
        beats += 1
        beaten.set()

    clock = SystemClock()
    by = clock.mono_ms() + 30_000
    async with Bus("fake", clock=clock, opener=lambda url, baud: SilentPort(), beat=beat) as bus:
        assert await asyncio.to_thread(beaten.wait, 10)
        inside = threading.Event()

        def hang(line: Line) -> None:
            inside.set()
            release.wait(10)

        hanging = asyncio.ensure_future(bus.run(hang, name="hang", priority=Priority.READING, not_after_mono_ms=by))
        assert await asyncio.to_thread(inside.wait, 10)
        before = beats
        # More work wakes nobody who could beat: the thread is inside the job.
        after = asyncio.ensure_future(
            bus.run(lambda line: beats, name="next", priority=Priority.READING, not_after_mono_ms=by)
        )
        await asyncio.sleep(0)
        assert beats == before
        release.set()
        await asyncio.gather(hanging, after)
        assert after.result() > before
