"""How long to wait before the next attempt: longer each time, and different on every machine.

When a broker or a cloud comes back, a thousand machines notice in the same second. Randomness drawn from the machine's
own id spreads them over the first pause already, and makes a test repeatable.
"""

from __future__ import annotations

from random import Random

# The first attempt of all machines together is spread over this time: 1,000 machines make 200 connects a second.
FIRST_MS = 5_000
# Nobody waits longer than this once the other side is back.
LONGEST_MS = 120_000


class Backoff:
    """Pauses between attempts. The first is anywhere in 0..first, each later one in the upper half of its doubling."""

    def __init__(self, seed: str, *, first_ms: int = FIRST_MS, longest_ms: int = LONGEST_MS) -> None:
        if not 0 < first_ms <= longest_ms:
            raise ValueError(f"first_ms {first_ms} and longest_ms {longest_ms}: expected 0 < first_ms <= longest_ms")
        self._random = Random(seed)  # noqa: S311  # spreads load, guards nothing
        self._first_ms = first_ms
        self._longest_ms = longest_ms
        self._attempts = 0

    def next_ms(self) -> int:
        """The pause before the next attempt, in milliseconds."""
        # The exponent is capped because 2**10_000 is a number that nobody needs.
        ceiling = min(self._first_ms * 2 ** min(self._attempts, 20), self._longest_ms)
        floor = 0 if self._attempts == 0 else ceiling // 2
        self._attempts += 1
        return self._random.randint(floor, ceiling)

    def reset(self) -> None:
        """An attempt succeeded: the next failure is a first one."""
        self._attempts = 0


def spread_ms(seed: str, within_ms: int) -> int:
    """A place in 0..within_ms that is always the same for one seed and even over many."""
    return Random(seed).randint(0, within_ms)  # noqa: S311
