"""`python -m edge_agent.profiles list | check FILE | try FILE --port PORT | move FILE --port PORT --to SLAVE`: device
profiles, answered as JSON.

The technician's command asks through this process, so that it needs to know neither devices nor ports.
"""

from __future__ import annotations

import argparse
import asyncio
import sys

import msgspec

from edge_agent.devices import profile_file
from edge_agent.devices.modbus_device import try_profile
from edge_agent.devices.modbus_move import Place, move_device
from edge_agent.errors import AgentError
from shared.clock import SystemClock


def main(arguments: list[str] | None = None) -> int:
    """Print one JSON answer; 1 with a sentence on standard error when there is none."""
    parser = argparse.ArgumentParser(prog="python -m edge_agent.profiles")
    words = parser.add_subparsers(dest="word", required=True)
    words.add_parser("list")
    words.add_parser("check").add_argument("file")
    trying = words.add_parser("try")
    trying.add_argument("file")
    trying.add_argument("--port", required=True)
    for option in ("--slave", "--baud"):
        trying.add_argument(option, type=int)
    moving = words.add_parser("move")
    moving.add_argument("file")
    moving.add_argument("--port", required=True)
    for option in ("--slave", "--to", "--baud", "--to-baud"):
        moving.add_argument(option, type=int)
    asked = parser.parse_args(arguments)
    try:
        answer = _answer(asked)
    except AgentError as error:
        print(error, file=sys.stderr)
        return 1
    sys.stdout.write(msgspec.json.encode(answer).decode() + "\n")
    return 0


def _answer(asked: argparse.Namespace) -> object:
    match asked.word:
        case "list":
            names = profile_file.shipped_profiles()
            return [{"name": name, "title": profile_file.load_profile(name).description} for name in names]
        case "check":
            return profile_file.check_profile(profile_file.profile_path(asked.file))
        case "move":
            serial = profile_file.load_profile(asked.file).serial
            now = Place(asked.slave or serial.slave, asked.baud or serial.baud)
            to = Place(asked.to or now.slave, asked.to_baud or now.baud)
            return asyncio.run(move_device(asked.file, asked.port, now, to, clock=SystemClock()))
        case _:
            return asyncio.run(try_profile(asked.file, asked.port, asked.slave, asked.baud, clock=SystemClock()))


if __name__ == "__main__":
    sys.exit(main())
