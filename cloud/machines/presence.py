"""How machines are: their latest word on themselves, gathered over one unit of work and written once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from cloud.database import Work
from cloud.errors import FleetError
from cloud.machines import store
from cloud.machines.model import AisleLock, Fault, Machine, MachineState, Origin
from cloud.machines.register import machine_of
from shared.messages import (
    AisleLockChanged,
    ConfigReported,
    DoorChanged,
    EpochBegan,
    FaultChanged,
    Hello,
    Readings,
    SellingChanged,
    TemperatureBandChanged,
)

Key = tuple[str, str]


class Presence:
    """The states of the machines that one unit of work hears of, by (tenant, machine)."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._states: dict[Key, MachineState] = {}
        self._faults: dict[tuple[str, str, str, str], Fault] = {}
        self._locks: dict[tuple[str, str, str], AisleLock] = {}
        self._readings: dict[tuple[str, str, str], dict[str, Any]] = {}

    async def load(self, machines: Iterable[Key]) -> None:
        """Read and lock the states of `machines`; all of them are written back."""
        keys = sorted(set(machines))
        found = await store.find_states(self._work, keys, lock=True)
        for key in keys:
            self._states[key] = found.get(key) or MachineState(tenant=key[0], machine=key[1])

    def state(self, key: Key) -> MachineState:
        """A loaded machine's state as it is by now."""
        return self._states[key]

    def seen(self, key: Key, **changes: Any) -> None:
        """The machine spoke just now, and with it these fields changed."""
        before, now_ms = self._states[key], self._work.now_ms
        if not before.is_present(now_ms):
            # It may have gone without a word: then it was there when it was last heard.
            went_ms = before.last_seen_ms or None if before.online else before.went_ms
            changes = {"came_ms": now_ms, "went_ms": went_ms, **changes}
        self._states[key] = replace(before, online=True, last_seen_ms=now_ms, **changes)

    def hello(self, key: Key, said: Hello) -> None:
        """It introduced itself."""
        self.seen(
            key,
            epoch=said.epoch,
            boot_id=said.boot_id,
            software=said.software,
            next_seq=said.next_seq,
            selling=said.selling,
            config_version=said.config_version,
        )

    def gone(self, key: Key) -> None:
        """The broker lost it."""
        self._states[key] = replace(self._states[key], online=False, went_ms=self._work.now_ms)

    def began(self, origin: Origin, fact: EpochBegan) -> None:
        """A new ledger file."""
        self.seen((origin.tenant, origin.machine), epoch=origin.epoch, software=fact.software or None)

    def changed(
        self, origin: Origin, fact: DoorChanged | TemperatureBandChanged | SellingChanged | ConfigReported
    ) -> None:
        """A condition of the whole machine."""
        key = (origin.tenant, origin.machine)
        match fact:
            case DoorChanged():
                self.seen(key, door_open=fact.open)
            case TemperatureBandChanged():
                self.seen(key, temperature_band=fact.band, temperature_tenths_c=fact.tenths_c)
            case SellingChanged():
                self.seen(key, selling=fact.selling, selling_reason=fact.reason)
            case ConfigReported():
                self.seen(
                    key, config_version=fact.version, config_refused=fact.refused, config_reason=fact.reason or None
                )

    def fault(self, origin: Origin, fact: FaultChanged) -> None:
        """A fault began or ended."""
        self._faults[origin.tenant, origin.machine, fact.code, fact.scope] = Fault(
            origin.tenant, origin.machine, fact.code, fact.scope, fact.active, fact.detail, origin.happened_ms
        )

    def lock(self, origin: Origin, fact: AisleLockChanged) -> None:
        """An aisle was closed or opened."""
        self._locks[origin.tenant, origin.machine, fact.aisle] = AisleLock(
            origin.tenant, origin.machine, fact.aisle, fact.locked, fact.reason, origin.happened_ms
        )

    def measured(self, key: Key, batch: Readings) -> None:
        """It measured something; of each sensor the last value stays."""
        for reading in batch.readings:
            self._readings[(*key, reading.sensor)] = {
                "tenant": key[0],
                "machine": key[1],
                "sensor": reading.sensor,
                "unit": reading.unit,
                "value": reading.value,
                "wall_ms": reading.wall_ms,
                "received_ms": self._work.now_ms,
            }

    async def write(self) -> None:
        """Write what was heard."""
        await store.put_states(self._work, [self._states[key] for key in sorted(self._states)])
        await store.put_faults(self._work, [self._faults[key] for key in sorted(self._faults)])
        await store.put_locks(self._work, [self._locks[key] for key in sorted(self._locks)])
        await store.put_readings(self._work, [self._readings[key] for key in sorted(self._readings)])


async def state_of(work: Work, tenant: str, machine: str) -> MachineState:
    """How a machine is; one that never spoke is simply not online."""
    found = await store.find_states(work, [(tenant, machine)], lock=False)
    return found.get((tenant, machine)) or MachineState(tenant=tenant, machine=machine)


async def expect_selling(work: Work, tenant: str, machine: str) -> Machine:
    """The machine, if it can be expected to carry out an order now.

    FleetError: not_found, unavailable when it is away or says that it does not sell.
    """
    found = await machine_of(work, tenant, machine)
    state = await state_of(work, tenant, machine)
    if not found.is_trusted or not state.is_present(work.now_ms):
        raise FleetError("unavailable", f"machine {machine!r} is not online", field="machine")
    if state.selling is False:
        why = state.selling_reason or "no reason given"
        raise FleetError("unavailable", f"machine {machine!r} does not sell now: {why}", field="machine")
    return found


async def aisle_is_locked(work: Work, tenant: str, machine: str, aisle: str) -> bool:
    """Whether the machine has closed this aisle."""
    return await store.is_locked(work, tenant, machine, aisle)
