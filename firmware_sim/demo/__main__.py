"""`python -m firmware_sim.demo`: vending machines, a purifier, a broker and the cloud on one screen, and an account."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from firmware_sim.demo.account import Account, draw_up, go_home, settled
from firmware_sim.demo.people import People, Tally
from firmware_sim.demo.players import Players
from firmware_sim.demo.processes import Failed
from firmware_sim.demo.screen import Screen
from firmware_sim.demo.stage import Stage, set_stage
from firmware_sim.demo.wire import Refused

EXIT_UNBALANCED = 1
EXIT_FAILED = 69

# The children are looked at this often: one that dies ends the demo with its name.
CHECK_EVERY_S = 1.0


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when every identity of the account holds, 1 when one does not, 69 when something could not be started."""
    parser = argparse.ArgumentParser(prog="python -m firmware_sim.demo", description=__doc__)
    parser.add_argument("--seconds", type=float, help="trade for so long, then end (default: until Ctrl-C)")
    parser.add_argument(
        "--every-operation", action="store_true", help="end as soon as old programs have told every story once"
    )
    parser.add_argument("--quiet", action="store_true", help="nobody comes: everything is ready for you alone")
    parser.add_argument(
        "--seed", type=int, default=1, help="what the dice of people and faults begin with (default: 1)"
    )
    parser.add_argument("--faults", choices=["none", "all"], default="none", help="what goes wrong (default: none)")
    parser.add_argument("--speed", type=float, default=1.0, help="simulated seconds per second (default: 1)")
    parser.add_argument("--broker", choices=["auto", "mosquitto", "amqtt"], default="auto")
    parser.add_argument("--port", type=int, default=0, help="port of the cloud (default: any free one)")
    parser.add_argument("--folder", type=Path, default=Path("var/demo"), help="emptied first (default: %(default)s)")
    parser.add_argument("--picture", type=Path, metavar="FILE.svg", help="save the screen when trading ends")
    asked = parser.parse_args(arguments)
    console = Console()
    try:
        account = asyncio.run(_demo(asked, console))
    except (Failed, Refused) as failed:
        print(f"demo: {failed}", file=sys.stderr)
        return EXIT_FAILED
    for line in account.lines():
        print(line)
    return 0 if account.balances else EXIT_UNBALANCED


async def _demo(asked: argparse.Namespace, console: Console) -> Account:
    stop = asyncio.Event()
    tally = Tally(complete=stop if asked.every_operation else asyncio.Event())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # a closed terminal ends it in order, too
        loop.add_signal_handler(number, stop.set)

    def say(line: str) -> None:
        console.print(f"demo: {line}", highlight=False)

    async with set_stage(
        asked.folder.absolute(), seed=asked.seed, speed=asked.speed, broker=asked.broker, port=asked.port, say=say
    ) as stage:
        say(f"trading: {stage.api.url} (faults: {asked.faults}, seed: {asked.seed})")
        await stage.sim.faults(asked.faults)
        screen = Screen(stage, tally, f"seed {asked.seed}, faults {asked.faults}", console)
        people, players = People(stage, asked.seed, tally), Players(stage, asked.seed, tally)
        comers = {} if asked.quiet else {"people": people.trade(), "players": players.work()}
        await _trade(stage, comers, screen, stop, asked.seconds)
        tally.answers.write(stage.folder / "answers.json")
        if asked.picture is not None:
            await screen.save(asked.picture)
        say("the doors are closed; settling what is on its way")
        await stage.sim.faults("none")
        await go_home(stage)
        await settled(stage)
        return await draw_up(stage, tally)


async def _trade(
    stage: Stage,
    comers: Mapping[str, Coroutine[Any, Any, None]],
    screen: Screen,
    stop: asyncio.Event,
    seconds: float | None,
) -> None:
    """Trade until the time is over, somebody presses Ctrl-C, or a process dies.

    Where nobody comes, whoever is alone with the machines may stop an agent and start it again.
    """

    async def look_at_children() -> None:
        while True:
            for running in stage.children if comers else stage.ground:
                running.check()
            await asyncio.sleep(CHECK_EVERY_S)

    working = [
        *(asyncio.create_task(comes, name=name) for name, comes in comers.items()),
        asyncio.create_task(screen.run(), name="screen"),
        asyncio.create_task(look_at_children(), name="children"),
    ]
    stopping = asyncio.create_task(stop.wait(), name="stop")
    try:
        done, _ = await asyncio.wait([*working, stopping], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in done - {stopping}:
            task.result()
    finally:
        for task in (*working, stopping):
            task.cancel()
        for task in (*working, stopping):
            with contextlib.suppress(asyncio.CancelledError, Failed):
                await task


if __name__ == "__main__":
    sys.exit(main())
