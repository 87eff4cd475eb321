"""Room for what has begun: a file of known size that is given up when an outcome would not fit any more.

A vend that has moved a motor must be able to write its outcome. So a reserve is held from the first start on. Selling
stops before it is touched; if the disk fills up during a vend all the same, the reserve is freed for the outcome and
made again when there is room.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path

# An outcome writes about 15 pages of 4 kB to the write-ahead log and as many to the file: this holds fifty of them, and
# a checkpoint of a full log on top.
RESERVE_BYTES = 16 * 1024 * 1024
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, slots=True)
class Room:
    """Whether a sale may begin, as far as disk and outbox go; `why` is a sentence for people, None if it may."""

    free_bytes: int
    unacked_rows: int
    why: str | None

    @property
    def may_sell(self) -> bool:
        return self.why is None


class Reserve:
    """The reserve file beside the ledger."""

    def __init__(self, path: Path, size_bytes: int) -> None:
        self.path = path
        self.size_bytes = size_bytes

    @property
    def margin_bytes(self) -> int:
        """Free space beside the reserve below which nothing new is begun: the reserve is a last resort."""
        return self.size_bytes // 2

    def hold(self) -> bool:
        """Make the reserve if it is missing; False when there is no room for it and the margin."""
        if self.held():
            return True
        if free_bytes(self.path.parent) < self.size_bytes + self.margin_bytes:
            return False
        handle = os.open(self.path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(handle, 0, self.size_bytes)
        except OSError as error:
            if error.errno not in _NO_SPACE:
                raise
            self.path.unlink()
            return False
        finally:
            os.close(handle)
        return True

    def held(self) -> bool:
        """Whether the reserve has its full size."""
        try:
            return self.path.stat().st_size >= self.size_bytes
        except FileNotFoundError:
            return False

    def give_up(self) -> bool:
        """Free the reserve; False when there is none to free."""
        try:
            self.path.unlink()
        except FileNotFoundError:
            return False
        return True


def free_bytes(folder: Path) -> int:
    """What an unprivileged process can still write in `folder`."""
    space = os.statvfs(folder)
    return space.f_bavail * space.f_frsize
