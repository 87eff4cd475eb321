"""The secrets of machines, derived and never stored.

A machine's secret is HMAC-SHA256 of its id and credential version under the server's secret. A copy of the database is
therefore of no use for speaking as a machine, and revoking is a matter of the version alone.
"""

from __future__ import annotations

import hashlib
import hmac

from shared.ids import MachineId
from shared.seal import MachineKeys, derive_keys


class Credentials:
    """Derives the secret and the keys of every machine; its `repr` shows none of them."""

    def __init__(self, server_secret: bytes) -> None:
        self._server_secret = server_secret

    def machine_secret(self, machine: MachineId, version: int) -> bytes:
        """The secret (32 bytes) that `machine` got with its claim number `version`."""
        return hmac.new(self._server_secret, f"{machine}/{version}".encode(), hashlib.sha256).digest()

    def keys(self, machine: MachineId, version: int) -> MachineKeys:
        """The MQTT password and MAC key of that claim."""
        return derive_keys(self.machine_secret(machine, version))
