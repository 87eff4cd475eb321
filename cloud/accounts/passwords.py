"""Password hashing: argon2id in a thread, a few at a time."""

from __future__ import annotations

import asyncio

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

# The OWASP minimum for argon2id: 19 MiB, two passes, one lane; about 16 ms on a small server.
_MEMORY_KIB = 19 * 1024
_PASSES = 2
_LANES = 1
# 4 x 19 MiB at once: sign-ins beyond that queue, so that a flood of them costs time and not memory.
CONCURRENT_HASHES = 4


class Passwords:
    """Hashes and verifies passwords; one for the process, because the limit is for the process."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(time_cost=_PASSES, memory_cost=_MEMORY_KIB, parallelism=_LANES, type=Type.ID)
        self._slots = asyncio.Semaphore(CONCURRENT_HASHES)
        # Verified against when there is no such user, so that the answer takes equally long.
        self._nobody = self._hasher.hash("nobody has this password")

    async def hash(self, password: str) -> str:
        """The argon2id hash of `password`, parameters and salt included."""
        async with self._slots:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def matches(self, stored: str | None, password: str) -> bool:
        """Whether `password` is the one behind `stored`; without a stored hash, False after the same work."""
        async with self._slots:
            verified = await asyncio.to_thread(self._verify, stored or self._nobody, password)
        return verified and stored is not None

    def _verify(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False
