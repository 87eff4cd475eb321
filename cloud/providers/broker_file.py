"""The broker's password file: one line per claimed machine, kept equal to the database.

Mosquitto reads `login:$7$<rounds>$<salt>$<hash>` with PBKDF2-HMAC-SHA512, both parts in base64, as its own
`mosquitto_passwd` writes it, and reads the file again on SIGHUP; a session whose login is no longer in it is cut.

The file is derived, never edited: whatever happens to it, the next round makes it whole again. It is replaced in one
step, so the broker never sees half of it, and only when its content differs, so the broker is not woken for nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import os
import signal
from base64 import b64encode
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from cloud.database import Database
from cloud.machines.browse import trusted_machines
from cloud.machines.credentials import Credentials
from shared.ids import MachineId

log = logging.getLogger("cloud.broker_file")

# What mosquitto_passwd uses. The passwords are keys of 256 random bits: no number of rounds makes them safer.
_ROUNDS = 101
_SALT_BYTES = 12
# Another API process may have claimed or revoked: a revoked machine is to be gone within a minute, this is a quarter.
POLL_S = 15.0
# The broker runs as another user of the same group.
_FILE_MODE = 0o640


def password_line(machine: MachineId, mqtt_password: str) -> str:
    """The line of one machine. The salt is derived, so that the same password always gives the same line."""
    password = mqtt_password.encode()
    salt = hmac.new(password, b"aisleflow broker salt v1", hashlib.sha256).digest()[:_SALT_BYTES]
    hashed = hashlib.pbkdf2_hmac("sha512", password, salt, _ROUNDS)
    return f"{machine}:$7${_ROUNDS}${b64encode(salt).decode()}${b64encode(hashed).decode()}\n"


def replace_if_changed(path: Path, text: str) -> bool:
    """Make `path` hold `text`; False when it did already. A reader sees the old content or the new one."""
    if path.exists() and path.read_text(encoding="ascii") == text:
        return False
    draft = path.with_name(path.name + ".new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _FILE_MODE)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    return True


@dataclass(slots=True)
class BrokerFile:
    """Keeps `path` equal to the machines that may connect, and tells the broker whose pid stands in `pid_file`."""

    database: Database
    credentials: Credentials
    path: Path
    pid_file: Path | None = None
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    # Deriving a line costs four hashes; ten thousand machines would pay that at every round.
    _lines: dict[tuple[MachineId, int], str] = field(default_factory=dict, repr=False)

    @property
    def changed(self) -> Callable[[], None]:
        """To be called when a machine was claimed or revoked."""
        return self._changed.set

    async def keep(self) -> None:
        """Keep the file until cancelled."""
        while True:
            self._changed.clear()
            await self.refresh()
            try:
                async with asyncio.timeout(POLL_S):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def refresh(self) -> bool:
        """Make the file equal to the database now; whether it had to be changed."""
        async with self.database.look() as work:
            trusted = await trusted_machines(work)
        text = self._text(trusted)
        changed = await asyncio.to_thread(replace_if_changed, self.path, text)
        if changed:
            log.info("%s: %d machines may connect", self.path, len(self._lines))
            self._tell_broker()
        return changed

    def _text(self, trusted: Iterable[tuple[MachineId, int]]) -> str:
        known, self._lines = self._lines, {}
        for key in trusted:
            self._lines[key] = known.get(key) or password_line(key[0], self.credentials.keys(*key).mqtt_password)
        return "".join(self._lines.values())

    def _tell_broker(self) -> None:
        if self.pid_file is None:
            return
        try:
            os.kill(int(self.pid_file.read_text(encoding="ascii")), signal.SIGHUP)
        except (OSError, ValueError) as error:
            # A broker that is not running reads the file when it starts.
            log.warning("%s: the broker was not told to read its password file again: %s", self.pid_file, error)
