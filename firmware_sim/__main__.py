"""`python -m firmware_sim SCENARIO.toml`: simulated machines on pseudo terminals or TCP, until told to stop."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from firmware_sim.control import ControlServer
from firmware_sim.scenario import Scenario, ScenarioWrong, read_scenario
from firmware_sim.world import World


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line; ends the process with a usage line when it is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m firmware_sim", description="Simulated vending machines and purifiers."
    )
    parser.add_argument("scenario", type=Path, help="which machines there are: a TOML file, see scenario.py")
    parser.add_argument("--seed", type=int, help="instead of the scenario's seed")
    parser.add_argument("--speed", type=float, help="simulated seconds per real second")
    parser.add_argument("--control", type=Path, help="Unix socket for questions and commands, see control.py")
    parser.add_argument("--ready", type=Path, metavar="FILE", help="written as JSON when every port is open")
    return parser.parse_args(argv)


def chosen(arguments: argparse.Namespace) -> Scenario:
    """The scenario file with what the command line says instead."""
    scenario = read_scenario(arguments.scenario)
    instead: dict[str, Any] = {
        key: getattr(arguments, key) for key in ("seed", "speed") if getattr(arguments, key) is not None
    }
    try:
        return replace(scenario, **instead)
    except ValueError as error:
        raise ScenarioWrong(f"command line: {error}") from error


async def run(scenario: Scenario, control: Path | None, ready: Path | None) -> None:
    """Run until SIGTERM, SIGINT or the control socket's `stop`; ports, door files and socket are gone afterwards."""
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    failures: list[BaseException] = []

    def fail(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        # A callback that raises is a bug of the simulator: it must not go on with half a world.
        failures.append(context.get("exception") or RuntimeError(context["message"]))
        stopping.set()

    loop.set_exception_handler(fail)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with World(scenario) as world:
        for name, url in world.urls.items():
            print(f"{name}\t{url}", flush=True)
        if control is None:
            _write_ready(ready, world, None)
            await stopping.wait()
        else:
            async with ControlServer(world, control, stopping):
                _write_ready(ready, world, control)
                await stopping.wait()
    if failures:
        raise RuntimeError("the simulator has a bug") from failures[0]


def _write_ready(path: Path | None, world: World, control: Path | None) -> None:
    if path is None:
        return
    machines = {
        name: {"port": running.port.url, "door": None if running.door is None else str(running.door)}
        for name, running in world.machines.items()
    }
    new = path.with_name(path.name + ".new")
    new.write_text(json.dumps({"machines": machines, "control": control and str(control.absolute())}), encoding="utf-8")
    new.rename(path)  # whoever waits for the file finds it whole


def main(argv: Sequence[str] | None = None) -> int:
    """The command; 0 after a clean end, 2 when the scenario or a port cannot be used."""
    arguments = parse_arguments(argv)
    try:
        asyncio.run(run(chosen(arguments), arguments.control, arguments.ready))
    except (ScenarioWrong, OSError) as error:
        print(f"firmware_sim: {error}", file=sys.stderr)
        return 2
    finally:
        if arguments.ready is not None:
            arguments.ready.unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
