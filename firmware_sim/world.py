"""Machines that run: their timelines turn with the clock, their ports are open, their door files are on disk."""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from firmware_sim.faults import PRESETS
from firmware_sim.machine import Machine
from firmware_sim.pace import Pace
from firmware_sim.ports import Port, open_port
from firmware_sim.scenario import MachineSettings, Scenario


class Running:
    """One machine in real time."""

    def __init__(self, machine: Machine, settings: MachineSettings, scenario: Scenario) -> None:
        self.machine = machine
        self.door = None if settings.door is None else scenario.folder.absolute() / settings.door
        self._pace = Pace(machine.timeline, scenario.speed_of(settings))
        self._only_baud = settings.only_baud
        self.port: Port = open_port(settings.port, scenario.folder, self._heard)
        machine.line.send = self.port.write
        machine.port_changed = self._follow_plug
        machine.door_changed = self._write_door

    def start(self) -> None:
        """Plug the port in, write the door's file, let time run."""
        self.port.plug()
        self._write_door(self.machine.air.door_open)
        self._pace.catch_up()

    def stop(self) -> None:
        """Take port and door file away."""
        self._pace.stop()
        self.port.unplug()
        if self.door is not None:
            self.door.unlink(missing_ok=True)

    def catch_up(self) -> Self:
        """Bring the machine to this moment: before something is done to it, and after, to wait for what that caused."""
        self._pace.catch_up()
        return self

    def _heard(self, data: bytes) -> None:
        # A pseudo terminal carries bytes at any speed; a real line does not.
        self.catch_up().machine.line.receive(data, self.port.baud if self._only_baud else None)
        self.catch_up()

    def _follow_plug(self, connected: bool) -> None:
        if connected:
            self.port.plug()
        else:
            self.port.unplug()

    def _write_door(self, is_open: bool) -> None:
        if self.door is None:
            return
        self.door.parent.mkdir(parents=True, exist_ok=True)
        # One byte in place: a reader that keeps the file open sees it, and nobody ever reads an empty file.
        file = os.open(self.door, os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            os.pwrite(file, b"1\n" if is_open else b"0\n", 0)
        finally:
            os.close(file)


class World:
    """All machines of a scenario, running from `async with` to its end."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.machines: dict[str, Running] = {}

    async def __aenter__(self) -> Self:
        scenario = self.scenario
        try:
            for machine, settings in zip(scenario.build(), scenario.machine, strict=True):
                running = Running(machine, settings, scenario)
                self.machines[machine.name] = running
                running.start()
        except BaseException:
            self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        for running in self.machines.values():
            running.stop()

    def machine(self, name: object) -> Running:
        """One machine by name; `ValueError` names those that exist."""
        running = self.machines.get(name) if isinstance(name, str) else None
        if running is None:
            raise ValueError(f"machine = {name!r}, expected one of {', '.join(self.machines)}")
        return running

    @property
    def urls(self) -> Mapping[str, str]:
        """What a host opens, per machine."""
        return {name: running.port.url for name, running in self.machines.items()}

    def set_preset(self, preset: object) -> None:
        """Set the chances of all faults; `none` also mends what is broken. `ValueError` for another word."""
        if not isinstance(preset, str) or preset not in PRESETS:
            raise ValueError(f"preset = {preset!r}, expected one of {', '.join(PRESETS)}")
        for running in self.machines.values():
            running.catch_up().machine.set_rates(PRESETS[preset])
            if preset == "none":
                running.machine.mend()
            running.catch_up()
