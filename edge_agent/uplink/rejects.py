"""Messages from the cloud that had no effect, kept in a small file for whoever has to find out why."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import os
from pathlib import Path

from shared.clock import Clock

log = logging.getLogger(__name__)

# Two files of this size at most: a flood of rubbish must not take the disk that outcomes need.
FILE_BYTES_MAX = 262_144
# The beginning shows what it was; the hash tells two apart.
PAYLOAD_BYTES_KEPT = 512
# More than this per minute are only counted: writing them would wear the flash card.
KEPT_PER_MINUTE = 30


class Rejects:
    """JSON lines in `path`, and the generation before in `path.1`. Payloads hold no secrets: MACs are for one use."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self.count = 0
        self._path = path
        self._clock = clock
        self._minute = 0
        self._kept_this_minute = 0

    def keep(self, topic: str, payload: bytes, reason: str) -> None:
        """Count a message and, unless there are too many, write it down."""
        self.count += 1
        minute = self._clock.mono_ms() // 60_000
        if minute != self._minute:
            self._minute, self._kept_this_minute = minute, 0
        self._kept_this_minute += 1
        if self._kept_this_minute > KEPT_PER_MINUTE:
            return
        log.warning("%s: not accepted: %s", topic[:100], reason[:300])
        line = {
            "wall_ms": self._clock.wall_ms(),
            "topic": topic[:200],
            "reason": reason[:500],
            "bytes": len(payload),
            "sha256": hashlib.sha256(payload).hexdigest(),
            "payload_base64": base64.b64encode(payload[:PAYLOAD_BYTES_KEPT]).decode(),
        }
        try:
            self._append((json.dumps(line) + "\n").encode())
        except OSError as error:
            log.warning("%s: %s", self._path, error)

    def _append(self, line: bytes) -> None:
        if self._path.exists() and self._path.stat().st_size + len(line) > FILE_BYTES_MAX:
            self._path.replace(self._path.with_name(self._path.name + ".1"))
        handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.write(handle, line)
        finally:
            os.close(handle)
