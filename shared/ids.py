"""Identifiers as distinct types, with one grammar for what may stand in a topic, a path or a log line.

Ids are minted without a network and without a trusted clock, so uniqueness comes from 80 or more random bits and
never from time; order comes from sequence numbers, never from ids.
"""

from __future__ import annotations

import re
import secrets
from typing import NewType

MachineId = NewType("MachineId", str)
AisleId = NewType("AisleId", str)
GoodsId = NewType("GoodsId", str)
OrderId = NewType("OrderId", str)
CommandId = NewType("CommandId", str)
Epoch = NewType("Epoch", str)
BootId = NewType("BootId", str)
Nonce = NewType("Nonce", str)

# Letters, digits, '-' and '_': safe in an MQTT topic level, an MQTT client id, a URL path and a file name alike.
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,47}")

# Crockford's alphabet: no I, L, O or U, so that an id read out over the phone survives.
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_RANDOM_CHARS = 20  # 5 bits each: 100 random bits


class MalformedId(ValueError):
    """An id does not match the grammar; carries the field and the value as they came."""

    def __init__(self, field: str, value: object) -> None:
        super().__init__(
            f"{field}: {str(value)[:60]!r} is not an id (expected 1 to 48 of A-Z a-z 0-9 _ -, first a letter or digit)"
        )
        self.field = field
        self.value = value


def check_id(field: str, value: str) -> str:
    """Return `value` when it fits the id grammar, otherwise raise `MalformedId` naming `field`."""
    if not isinstance(value, str) or _ID.fullmatch(value) is None:
        raise MalformedId(field, value)
    return value


def parse_machine_id(value: str) -> MachineId:
    """Return `value` as a machine id or raise `MalformedId`."""
    return MachineId(check_id("machine", value))


def _mint(prefix: str) -> str:
    return prefix + "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM_CHARS))


def mint_order_id() -> OrderId:
    """A new order id; the same form on the machine and in the cloud, so the two can never collide."""
    return OrderId(_mint("o"))


def mint_command_id() -> CommandId:
    """A new id for one command to one machine."""
    return CommandId(_mint("c"))


def mint_epoch() -> Epoch:
    """A new id for a ledger file at its birth."""
    return Epoch(_mint("e"))


def mint_nonce() -> Nonce:
    """A new number used once, for one claim."""
    return Nonce(_mint("n"))


def mint_machine_id() -> MachineId:
    """A new machine id, for machines registered without one of the caller's choice."""
    return MachineId(_mint("m"))


def mint_visit_id() -> str:
    """A new id of a person's visit at a machine."""
    return _mint("v")


def mint_user_id() -> str:
    """A new id for a person who works for a tenant."""
    return _mint("u")


def mint_payment_id() -> str:
    """A new id for money that moves through a provider, in, back or out: letters and digits, as all of them ask."""
    return _mint("p")


def mint_brand_id() -> str:
    """A new id of a brand, for those opened without one of the caller's choice."""
    return _mint("b")
