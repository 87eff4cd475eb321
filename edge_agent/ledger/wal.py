"""Damage in the write-ahead log that SQLite would take for its end.

SQLite reads the log up to the first frame whose checksum fails and drops the rest without a word. After a power cut
that is right: the rest is the one transaction that was never synced. If more follows than one transaction, synced
commits would vanish; that is damage, and must be loud (I16). Sound because this ledger syncs every commit, and syncs
the log's header, which a torn write cannot split, before the first frame. What lies behind the end from an earlier use
of the log carries other salts.

Format: https://www.sqlite.org/fileformat2.html#walformat - a header of 32 bytes, then frames of a 24-byte header and a
page. A frame whose second word is not zero ends a transaction. Frames carry the header's two salts.
"""

from __future__ import annotations

import struct
from pathlib import Path

_HEADER = struct.Struct(">8I")
_FRAME = struct.Struct(">6I")
_MAGIC_LITTLE = 0x377F0682
_MAGIC_BIG = 0x377F0683
_U32 = 0xFFFFFFFF


def lost_commits(path: Path) -> str | None:
    """What SQLite would drop of the log at `path` beyond an unfinished transaction; None when nothing (or no log)."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return None
    if len(raw) <= _HEADER.size:
        return None
    magic, _, page_bytes, _, *salts, sum_1, sum_2 = _HEADER.unpack_from(raw)
    order = {_MAGIC_LITTLE: "<", _MAGIC_BIG: ">"}.get(magic)
    if order is None or _checksum(raw[:24], order, (0, 0)) != (sum_1, sum_2):
        return "the log's header is damaged" if any(raw[_HEADER.size :]) else None
    frame_bytes = _FRAME.size + page_bytes
    commits_after_break = 0
    broken_at = None
    running = (sum_1, sum_2)
    for start in range(_HEADER.size, len(raw) - frame_bytes + 1, frame_bytes):
        _, commit, salt_1, salt_2, sum_1, sum_2 = _FRAME.unpack_from(raw, start)
        if broken_at is None:
            running = _checksum(raw[start : start + 8], order, running)
            running = _checksum(raw[start + _FRAME.size : start + frame_bytes], order, running)
            if [salt_1, salt_2] != salts or running != (sum_1, sum_2):
                broken_at = start
        if broken_at is not None and commit and [salt_1, salt_2] == salts:
            commits_after_break += 1
    if commits_after_break > 1:
        return f"the log breaks at byte {broken_at}, and {commits_after_break} commits follow"
    return None


def _checksum(raw: bytes, order: str, running: tuple[int, int]) -> tuple[int, int]:
    """SQLite's running checksum over pairs of 32-bit words."""
    one, two = running
    words = iter(struct.unpack(f"{order}{len(raw) // 4}I", raw))
    for first in words:
        one = (one + first + two) & _U32
        two = (two + next(words) + one) & _U32
    return one, two
