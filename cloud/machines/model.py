"""What is known of a machine, and where a fact comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from shared.ids import MachineId
from shared.water import ServiceMode

CommandState = Literal["waiting", "done", "refused", "superseded"]

# A machine says hello every five minutes: twice that and a minute for a slow link, then it counts as away.
PRESENT_MS = 11 * 60_000


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a fact comes from: whose machine, which number of which stream, and when (on the cloud's clock)."""

    tenant: str
    machine: MachineId
    epoch: str
    seq: int
    happened_ms: int
    # The shop in which the machine stands.
    shop: str | None = None

    @property
    def key(self) -> str:
        """Names the fact within its machine, for ever."""
        return f"{self.epoch}.{self.seq}"


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine as it was registered. Claimed: its secret was handed out and is valid. Times in ms, None for never."""

    tenant: str
    machine: MachineId
    name: str
    place: str
    credential_version: int
    registered_ms: int
    claimed_ms: int | None
    revoked_ms: int | None
    # The shop it stands in; None: in none. The number on its door, and who looks after it.
    shop: str | None = None
    number: str = ""
    keeper: str = ""
    keeper_phone: str = ""
    # Out of service for good; nothing it says counts, and its id is never given again.
    retired_ms: int | None = None

    @property
    def is_trusted(self) -> bool:
        """Whether what it says counts."""
        return self.claimed_ms is not None and self.revoked_ms is None


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineProfile:
    """What is known of a machine as a device: how it was made, where it was put up, under which service it stands.

    `mode` "" is not decided yet. `installation` is a JSON object of whatever else was noted at the installation.
    `stopped`: it gives no service for now. Moments in ms, None where nothing is known.
    """

    tenant: str
    machine: str
    mode: ServiceMode | Literal[""] = ""
    brand: str = ""
    model: str = ""
    hw_version: str = ""
    sw_version: str = ""
    fw_version: str = ""
    manufactured_ms: int | None = None
    assembled_ms: int | None = None
    product: str = ""
    inspector: str = ""
    inspected_ms: int | None = None
    installer: str = ""
    installed_ms: int | None = None
    installation: str = "{}"
    remark: str = ""
    coordinates: str = ""
    platform: str = ""
    project: str = ""
    net_entry: str = ""
    net_type: str = ""
    hardware_id: str = ""
    iccid: str = ""
    stopped: bool = False
    service_ends_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineState:
    """How a machine is, as far as it has told. None: it has not said."""

    tenant: str
    machine: str
    online: bool = False
    last_seen_ms: int = 0
    epoch: str | None = None
    boot_id: str | None = None
    software: str | None = None
    next_seq: int | None = None
    selling: bool | None = None
    selling_reason: str | None = None
    door_open: bool | None = None
    temperature_band: str | None = None
    temperature_tenths_c: int | None = None
    config_version: int | None = None
    config_refused: int | None = None
    config_reason: str | None = None
    # When it was last seen to come and to go.
    came_ms: int | None = None
    went_ms: int | None = None

    def is_present(self, now_ms: int) -> bool:
        """Whether it can be expected to hear an offer now."""
        return self.online and now_ms - self.last_seen_ms <= PRESENT_MS


@dataclass(frozen=True, slots=True)
class Fault:
    """A condition that began or ended at `since_ms`."""

    tenant: str
    machine: str
    code: str
    scope: str
    active: bool
    detail: str
    since_ms: int


@dataclass(frozen=True, slots=True)
class Aisle:
    """One aisle as it was decided. `id` names it within the tenant, for ever; `aisle` only within its machine.

    Not `listed`: it is in the newest planogram no more, and only its past is looked at.
    """

    tenant: str
    machine: str
    aisle: str
    id: str
    name: str
    goods: str
    price_fen: int
    capacity: int
    for_sale: bool
    listed: bool


@dataclass(frozen=True, slots=True)
class AisleLock:
    """Whether an aisle is closed for sale, and why."""

    tenant: str
    machine: str
    aisle: str
    locked: bool
    reason: str
    since_ms: int
