"""Message authentication between the cloud and one machine (HMAC-SHA256, RFC 2104).

A machine has one secret, shown once when it is claimed. Two keys are derived from it, so that the broker, which
learns the MQTT password, still cannot grant a vend or sign prices.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

from shared.ids import AisleId, BootId, MachineId, Nonce, OrderId

SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class MachineKeys:
    """The two keys of one machine; `repr` hides them so that they never reach a log."""

    mqtt_password: str
    mac_key: bytes

    def __repr__(self) -> str:
        return "MachineKeys(hidden)"


def derive_keys(secret: bytes) -> MachineKeys:
    """Derive the MQTT password (64 hex digits) and the MAC key (32 bytes) from a machine's secret."""
    if len(secret) < SECRET_BYTES:
        raise ValueError(f"a machine secret has {SECRET_BYTES} bytes or more, this one has {len(secret)}")
    return MachineKeys(
        mqtt_password=hmac.new(secret, b"aisleflow mqtt password v1", hashlib.sha256).hexdigest(),
        mac_key=hmac.new(secret, b"aisleflow mac key v1", hashlib.sha256).digest(),
    )


def _seal(key: bytes, *fields: str | bytes) -> str:
    """HMAC over length-prefixed fields: no two different field lists share one input."""
    mac = hmac.new(key, digestmod=hashlib.sha256)
    for field in fields:
        raw = field.encode() if isinstance(field, str) else field
        mac.update(len(raw).to_bytes(4, "big") + raw)
    return mac.hexdigest()


def seal_grant(key: bytes, machine: MachineId, order: OrderId, aisle: AisleId, nonce: Nonce, boot_id: BootId) -> str:
    """The MAC of a grant: it fits one machine, order, aisle, nonce and boot, so a replay matches nothing."""
    return _seal(key, "grant", machine, order, aisle, nonce, boot_id)


def seal_config(key: bytes, machine: MachineId, version: int, document: bytes) -> str:
    """The MAC of one version of a machine's configuration, over the document's exact bytes."""
    return _seal(key, "config", machine, str(version), document)


def seal_command(key: bytes, machine: MachineId, body: bytes) -> str:
    """The MAC of a command's exact bytes for one machine."""
    return _seal(key, "command", machine, body)


def seal_visit(key: bytes, machine: MachineId, record: bytes) -> str:
    """The MAC of one visit at a machine, over `messages.unsealed`."""
    return _seal(key, "visit", machine, record)


def seals_match(expected: str, received: str) -> bool:
    """Compare two MACs in constant time."""
    return hmac.compare_digest(expected.encode(), received.encode())
