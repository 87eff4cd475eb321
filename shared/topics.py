"""The MQTT topic grammar, built and parsed here and nowhere else.

`up/<machine>/<channel>` is what a machine says, `dn/<machine>/<channel>` what it is told. A broker can therefore hold
a machine to its own subtree with two patterns, `up/%u/#` and `dn/%u/#`.
"""

from __future__ import annotations

from typing import Literal, get_args

from shared.ids import MachineId, MalformedId, parse_machine_id

# hello: presence and stream position; gone: the last will; fact: one numbered fact; claim: a bid for an offered order;
# reading: measurements.
UpChannel = Literal["hello", "gone", "fact", "claim", "reading"]
# offer, grant (also carries refusals), watermark (also asks for gaps), command.
DownChannel = Literal["offer", "grant", "watermark", "command"]

ALL_UP = "up/+/+"


def up(machine: MachineId, channel: UpChannel) -> str:
    """The topic on which `machine` says something."""
    return f"up/{machine}/{channel}"


def down(machine: MachineId, channel: DownChannel) -> str:
    """The topic on which `machine` is told something."""
    return f"dn/{machine}/{channel}"


def all_down(machine: MachineId) -> str:
    """The one subscription of a machine."""
    return f"dn/{machine}/+"


def parse_up(topic: str) -> tuple[MachineId, UpChannel]:
    """Split an upward topic; `ValueError` (or `MalformedId`) when it is not one."""
    match topic.split("/"):
        case ["up", machine, channel] if channel in get_args(UpChannel):
            return parse_machine_id(machine), channel  # type: ignore[return-value]
    raise ValueError(f"{topic[:80]!r} is not a topic of the form up/<machine>/<channel>")


def parse_down(topic: str) -> tuple[MachineId, DownChannel]:
    """Split a downward topic; `ValueError` (or `MalformedId`) when it is not one."""
    match topic.split("/"):
        case ["dn", machine, channel] if channel in get_args(DownChannel):
            return parse_machine_id(machine), channel  # type: ignore[return-value]
    raise ValueError(f"{topic[:80]!r} is not a topic of the form dn/<machine>/<channel>")


__all__ = ["ALL_UP", "DownChannel", "MalformedId", "UpChannel", "all_down", "down", "parse_down", "parse_up", "up"]
