"""Password hashing: argon2id in a thread, a few at a time.

Clients of the older dialects send MD5(password) instead of the password, so that to them the MD5 *is* the password.
What is stored of it is argon2id(HMAC-SHA256(pepper, md5)): the pepper lives outside the database, so that a stolen copy
of it cannot be searched with the lists of MD5 hashes that are in circulation.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

# The OWASP minimum for argon2id: 19 MiB, two passes, one lane; about 16 ms on a small server.
_MEMORY_KIB = 19 * 1024
_PASSES = 2
_LANES = 1
# 4 x 19 MiB at once: sign-ins beyond that queue, so that a flood of them costs time and not memory.
CONCURRENT_HASHES = 4

_MD5 = re.compile(r"[0-9a-fA-F]{32}")
_PEPPER_LABEL = b"aisleflow password pepper"


def pepper_of(server_secret: bytes) -> bytes:
    """The pepper of a server: derived, so that there is one secret to keep."""
    return hmac.new(server_secret, _PEPPER_LABEL, hashlib.sha256).digest()


def md5_of(sent: str) -> str:
    """32 hex digits are an MD5 already; anything else is the password itself."""
    if _MD5.fullmatch(sent):
        return sent.lower()
    return hashlib.md5(sent.encode(), usedforsecurity=False).hexdigest()


class Passwords:
    """Hashes and verifies passwords; one for the process, because the limit is for the process."""

    def __init__(self, pepper: bytes) -> None:
        self._pepper = pepper
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

    async def hash_sent(self, sent: str) -> str:
        """What is stored of a password that comes as MD5 (32 hex digits) or plain from an older client."""
        return await self.hash(self._peppered(sent))

    async def matches_sent(self, stored: str | None, sent: str) -> bool:
        """Whether an older client sent the password behind `stored`, which `hash_sent` made."""
        return await self.matches(stored, self._peppered(sent))

    def _peppered(self, sent: str) -> str:
        return hmac.new(self._pepper, md5_of(sent).encode(), hashlib.sha256).hexdigest()

    def _verify(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False
