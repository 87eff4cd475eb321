"""Words about Modbus device profiles. A process of its own reads files and ports, so that this one stays small."""

from __future__ import annotations

import asyncio
import sys
from argparse import Namespace
from typing import Any, Final

import msgspec
from rich.console import RenderableType
from rich.text import Text

from edge_agent.errors import Refused
from edge_agent.technician import desk as desks
from edge_agent.technician.desk import Desk
from edge_agent.technician.readdress import follow, line_baud
from edge_agent.technician.screens import BAD, GOOD, table
from edge_agent.technician.words import YES, Number, Word, argument

# Every register of a large profile from a device that is silent: some 40 of them, a second each.
TRY_TIMEOUT_S: Final = 120.0


async def _list(desk: Desk, _: Namespace) -> int:
    answer = await _ask(desk, "list")
    desk.tell(answer, lambda: _names(desk, answer))
    return desks.OK


async def _check(desk: Desk, asked: Namespace) -> int:
    answer = await _ask(desk, "check", asked.file)
    good = Text(desk.say("{file}: can be used", file=asked.file), style=GOOD)
    desk.tell(answer, lambda: Text("\n".join(answer), style=BAD) if answer else good)
    return desks.FAILED if answer else desks.OK


async def _try(desk: Desk, asked: Namespace) -> int:
    answer = await _ask(desk, "try", asked.file, "--port", asked.port, *_place(desk, asked))
    desk.tell(answer, lambda: _registers(desk, answer))
    return desks.FAILED if any(row["problem"] for row in answer) else desks.OK


async def _move(desk: Desk, asked: Namespace) -> int:
    if asked.to is None and asked.to_baud is None:
        raise Refused("malformed", desk.say("nothing to change: give --to, --to-baud or both"))
    if not asked.yes and not desk.confirm(desk.say("Is the agent stopped, and is this device alone at its address?")):
        raise Refused("not_confirmed", desk.say("connect the device alone first, or give --yes"))
    options = _given({"--to": asked.to, "--to-baud": asked.to_baud})
    answer = await _ask(desk, "move", asked.file, "--port", asked.port, *_place(desk, asked), *options)
    answer["settings"] = _follow(desk, asked, answer)
    desk.tell(answer, lambda: _where(desk, answer))
    return desks.OK if answer["problem"] is None else desks.FAILED


def _place(desk: Desk, asked: Namespace) -> list[str]:
    """Where the device is: a line that the settings name has their speed, another one that of the profile."""
    return _given({"--slave": asked.slave, "--baud": asked.baud or line_baud(desk.settings_file, asked.port)})


def _given(options: dict[str, int | None]) -> list[str]:
    return [text for name, value in options.items() if value is not None for text in (name, str(value))]


def _follow(desk: Desk, asked: Namespace, answer: dict[str, Any]) -> str | None:
    """Let the settings name the address at which the device is now; what became of them, None where they are not of it.

    A device that is heard nowhere is not followed: nobody knows yet where it will be.
    """
    if not answer["answers"]:
        return None
    was, slave, baud = answer["was"]["slave"], answer["slave"], answer["baud"]
    return follow(desk.settings_file, asked.port, asked.file, was, slave, baud)


def _where(desk: Desk, answer: dict[str, Any]) -> Text:
    say = desk.say
    place = say("address {slave}, {baud} baud", slave=answer["slave"], baud=answer["baud"])
    if answer["problem"] is None:
        told = Text(f"{place}: {say('it answers')}", style=GOOD)
        if answer["found"]:
            was = say("address {slave}, {baud} baud", **answer["was"])
            told.append(" " + say("(nothing answered at {was}, and nothing was written: it is there already)", was=was))
    elif answer["answers"]:
        told = Text(f"{place}: {say('it is here now')}: {say.sentence(answer['problem'])}", style=BAD)
    elif answer["port_gone"]:
        was = say("address {slave}, {baud} baud", **answer["was"])
        hint = say(
            "the port went away meanwhile. The device is here or where it was ({was}): plug the adapter in and give"
            " the same command once more, it finds the device and ends the move",
            was=was,
        )
        told = Text(f"{place}: {hint} ({say.sentence(answer['problem'])})", style=BAD)
    else:
        hint = say(
            "nothing answers there, nor where it was: switch the device off and on, then look with"
            " aislectl profile try at both addresses"
        )
        told = Text(f"{place}: {hint} ({say.sentence(answer['problem'])})", style=BAD)
    match answer["settings"]:
        case "followed":
            told.append("\n" + say("{file} names the new address now", file=str(desk.settings_file)))
        case "by_hand":
            told.append("\n" + say("{file} must be changed by hand: slave and baud", file=str(desk.settings_file)))
    return told


async def _ask(desk: Desk, *arguments: str) -> Any:
    """The answer of `python -m edge_agent.profiles`; what it says on standard error is why there is none."""
    command = (sys.executable, "-m", "edge_agent.profiles", *arguments)
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(TRY_TIMEOUT_S):
            told, failed = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise Refused(
            "timeout", desk.say("the device did not come to an end in {seconds} s", seconds=round(TRY_TIMEOUT_S))
        ) from None
    if process.returncode != 0:
        raise Refused("profile", failed.decode(errors="replace").strip())
    return msgspec.json.decode(told)


def _names(desk: Desk, answer: list[dict[str, Any]]) -> RenderableType:
    made = table(desk.say("Profile"), desk.say("Device"))
    for row in answer:
        made.add_row(row["name"], row["title"])
    return made


def _registers(desk: Desk, answer: list[dict[str, Any]]) -> RenderableType:
    say = desk.say
    made = table(say("Register"), say("Address"), say("Words"), say("Value"), say("Problem"))
    for row in answer:
        value = f"{row['value']} {row['unit']}".strip()
        made.add_row(row["name"], str(row["address"]), row["words"], value, Text(row["problem"] or "", style=BAD))
    return made


# Of Modbus, and of serial ports; which of these speeds a device knows, its profile says.
ADDRESS: Final = Number(1, 247)
SPEED: Final = Number(300, 4_000_000)
FILE = argument("file", about="a shipped profile's name, or a file")
PORT = argument("--port", about="the serial port of the device", required=True)
SLAVE = argument("--slave", about="the device's address, when it is not the profile's", type=ADDRESS)
BAUD = argument(
    "--baud", about="its speed, when it is neither the settings' for this port nor the profile's", type=SPEED
)

WORD: Final = Word(
    "profile",
    "Modbus devices described as data",
    words=(
        Word("list", "the profiles that come with the agent", _list),
        Word("check", "what is wrong with a profile, line by line", _check, (FILE,)),
        Word(
            "try",
            "read every register of a device; stop the agent first when the port is its own",
            _try,
            (FILE, PORT, SLAVE, BAUD),
        ),
        Word(
            "move",
            "give a device another address or speed, and see that it took it",
            _move,
            (
                FILE,
                PORT,
                SLAVE,
                BAUD,
                argument("--to", about="the new address", type=ADDRESS, metavar="SLAVE"),
                argument("--to-baud", about="the new speed", type=SPEED, metavar="BAUD"),
                YES,
            ),
        ),
    ),
)
