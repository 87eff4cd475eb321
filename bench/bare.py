"""The bare parts that the agent is measured against, each a process of its own: `python -m bench.bare WHAT ...`.

    interpreter              an interpreter with asyncio loaded, doing nothing
    poll PORT PER_S          only the serial exchange: POLL out, its answer in, so many times a second
    grant PORT SERIAL DB     bytes from a TCP connection -> one row committed with FULL sync -> one frame to a port

Each prints `ready` when it has begun, and runs until it is ended.
"""

from __future__ import annotations

import asyncio
import select
import socket
import sqlite3
import sys
import time

import serial

POLL_FRAME = bytes.fromhex("01034021")  # address 1, POLL, CRC-16/MODBUS
RUN_FRAME = bytes.fromhex("0105000000")  # as long as a RUN; nobody checks it
BAUD = 38_400
READ_BYTES = 4096
# A board answers within 50 ms; after a pause of this length the answer is complete.
QUIET_S = 0.02
# A board that says nothing for so long says nothing at all.
ANSWER_S = 0.4


async def interpreter() -> None:
    """Nothing, with asyncio loaded."""
    print("ready", flush=True)
    await asyncio.Event().wait()


def poll(port: str, per_s: str) -> None:
    """Ask an idle board how it is, and read what it says; no parsing, no ledger, no network."""
    line = serial.Serial(port, BAUD, timeout=0)
    answered = 0
    while True:
        line.write(POLL_FRAME)
        wait_s = ANSWER_S
        while select.select([line], [], [], wait_s)[0]:
            line.read(READ_BYTES)
            answered += 1
            wait_s = QUIET_S
        if answered == 1:
            print("ready", flush=True)
        time.sleep(1 / float(per_s))


def grant(port: str, serial_port: str, file: str) -> None:
    """Whatever comes over TCP is committed and passed on to the serial port."""
    database = sqlite3.connect(file, isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.execute("CREATE TABLE intents (id INTEGER PRIMARY KEY, body BLOB)")
    line = serial.Serial(serial_port, BAUD, timeout=0)
    with socket.create_connection(("127.0.0.1", int(port))) as cloud:
        print("ready", flush=True)
        while body := cloud.recv(READ_BYTES):
            database.execute("INSERT INTO intents (body) VALUES (?)", (body,))
            line.write(RUN_FRAME)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["interpreter"]:
            asyncio.run(interpreter())
        case ["poll", port, per_s]:
            poll(port, per_s)
        case ["grant", port, serial_port, file]:
            grant(port, serial_port, file)
        case other:
            sys.exit(f"bench.bare: {other}: expected interpreter, poll PORT PER_S or grant PORT SERIAL DB")
