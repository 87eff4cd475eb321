"""`python -m edge_agent.playground FOLDER PORT`: an agent with a made-up machine, to play with and to learn on.

Needs no cloud: this process writes settings, a secret, a planogram and stock into FOLDER as the cloud and a restocker
would, and then is the agent. It refuses a folder that holds anything, so it can never touch a real machine.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import sys
from functools import partial
from pathlib import Path
from typing import Final

from edge_agent.__main__ import main as run_agent
from edge_agent.ledger import config as stored_config
from edge_agent.ledger import stock
from edge_agent.ledger.database import LedgerDatabase
from edge_agent.settings import Settings, load, read_keys
from shared.clock import SystemClock
from shared.ids import AisleId, GoodsId
from shared.messages import AisleConfig, MachineConfig, encode
from shared.seal import SECRET_BYTES, seal_config
from shared.water import FilterSpec, Outlet, PurifierConfig, ServicePlan

MACHINE: Final = "playground"
MOTORS: Final = 12
ON_HAND: Final = 5
CARBON_LITRES: Final = 12
GOODS: Final = ("water", "cola", "tea", "juice", "nuts", "crisps")

# No broker listens at port 9 (discard): the machine lives without its cloud, as in the field.
_SETTINGS: Final = """machine = "{machine}"
data_dir = "data"
[uplink]
host = "127.0.0.1"
port = 9
tls = false
secret_file = "secret"
[[bus]]
url = "{port}"
boards = [1]
[[modbus]]
url = "{port}"
baud = 38400
[[modbus.device]]
name = "valves"
profile = "waveshare-relay-8"
slave = 10
role = "valve"
[[modbus.device]]
name = "meter"
profile = "pulse4"
slave = 11
role = "meter"
[[modbus.device]]
name = "salt"
profile = "ws102-tds"
slave = 12
role = "tds_out"
[[modbus.device]]
name = "pump"
profile = "qdy30a"
slave = 13
role = "pressure"
[[modbus.device]]
name = "tank"
profile = "qdy30a"
slave = 14
role = "level"
[[modbus.device]]
name = "feed"
profile = "ws102-tds"
slave = 15
role = "tds_in"
[door]
value_file = "door"
[socket]
path = "agent.sock"
[limits]
reserve_mb = 1
[log]
level = "warning"
"""


def main(arguments: list[str] | None = None) -> int:
    """Prepare FOLDER and run the agent in it until it is told to stop."""
    parser = argparse.ArgumentParser(prog="python -m edge_agent.playground")
    parser.add_argument("folder", type=Path)
    parser.add_argument("port", help="the serial port of the simulated machine")
    asked = parser.parse_args(arguments)
    path = asked.folder / "agent.toml"
    if path.exists():
        parser.error(f"{asked.folder} holds a machine already: name a new folder")
    prepare(path, asked.port)
    asyncio.run(stock_machine(load(path)))
    return run_agent(["--settings", str(path)])


def prepare(path: Path, port: str) -> None:
    """Write the settings and a new secret."""
    secret = path.with_name("secret")
    with os.fdopen(os.open(secret, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600), "w") as file:
        file.write(secrets.token_hex(SECRET_BYTES))
    path.write_text(_SETTINGS.format(machine=MACHINE, port=port), encoding="utf-8")


def planogram() -> MachineConfig:
    """Two rows of aisles, neighbours with the same goods, and water from two outlets."""
    return MachineConfig(
        machine=MACHINE,
        version=1,
        temperature_low_tenths_c=20,
        temperature_high_tenths_c=100,
        aisles=tuple(
            AisleConfig(
                aisle=f"{'AB'[motor // 6]}{motor % 6 + 1}",
                board=1,
                motor=motor,
                goods=GOODS[motor // 2],
                price_fen=300 + 50 * (motor // 2),
                capacity=10,
            )
            for motor in range(MOTORS)
        ),
        purifier=PurifierConfig(
            outlets=(
                Outlet(warmth="normal", relay=1, price_fen_per_litre=50, nominal_ml_per_s=60),
                Outlet(warmth="hot", relay=2, price_fen_per_litre=80, nominal_ml_per_s=60),
            ),
            plan=ServicePlan(plan="play", mode="vending"),
            filters=(
                FilterSpec(position=1, name="PP cotton", lifetime_hours=4_320, worklife_hours=1_000),
                FilterSpec(position=2, name="RO membrane", lifetime_hours=17_520, worklife_hours=4_000),
                # Worn within minutes, to practise the exchange.
                FilterSpec(
                    position=3, name="carbon", lifetime_hours=8_760, worklife_hours=2_000, litres_max=CARBON_LITRES
                ),
            ),
        ),
    )


async def stock_machine(settings: Settings) -> None:
    """Give the new ledger its configuration and stock."""
    clock = SystemClock()
    config = planogram()
    document = encode(config)
    mac = seal_config(read_keys(settings).mac_key, settings.machine_id, config.version, document)
    async with await LedgerDatabase.open(
        settings.data_dir / "ledger.sqlite",
        machine=settings.machine_id,
        clock=clock,
        software=MACHINE,
        reserve_bytes=settings.limits.reserve_mb * 1024 * 1024,
    ) as ledger:
        await ledger.write(lambda conn: stored_config.store(conn, config.version, document, mac))
        for aisle in config.aisles:
            load_aisle = partial(
                stock.load, aisle=AisleId(aisle.aisle), goods=GoodsId(aisle.goods), quantity=ON_HAND, clock=clock
            )
            await ledger.write(load_aisle)


if __name__ == "__main__":
    sys.exit(main())
