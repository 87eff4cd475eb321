"""How long a hundred thousand lines of a load file take: from the file to the commit, and again when nothing is new.

The book is a folder of CSV, as spreadsheets export it: units, staff with passwords, goods, machines, aisles and members
with money in their wallets, in the shares of a large operator. The bare parts insert as many short rows into one table
in one transaction, so the ratio is what typing, comparing, ledgers and configurations cost.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.postgres import Postgres, postgres
from bench.row import Aim, Line
from bench.row import Row as BenchRow
from cloud.accounts.passwords import Passwords
from cloud.accounts.vault import Vault
from cloud.audit import ledger_drift
from cloud.database import Database
from cloud.load.columns import Row
from cloud.load.dump import dump
from cloud.load.formats import read_book, write_book
from cloud.load.load import load
from cloud.load.nouns import NOUNS
from cloud.load.nouns.accounts import AccountRow
from cloud.load.nouns.brands import BrandRow
from cloud.load.nouns.goods import GoodsRow
from cloud.load.nouns.machines import AisleRow, MachineRow
from cloud.load.nouns.members import MemberRow
from cloud.load.nouns.units import UnitRow
from cloud.machines.credentials import Credentials
from cloud.migrations import migrate
from firmware_sim.demo.processes import Failed

BRAND = "bench"
CREDENTIALS = Credentials(bytes(32))
VAULT = Vault(bytes(32))
AISLES_EACH = 10


@dataclass(frozen=True, slots=True)
class Size:
    """How many lines of each noun; a machine has ten aisles."""

    machines: int
    members: int
    goods: int
    shops: int
    staff: int

    @property
    def lines(self) -> int:
        return 1 + self.machines * (1 + AISLES_EACH) + self.members + self.goods + self.shops + self.staff


async def measure(size: Size) -> list[Line]:
    """SQLite and PostgreSQL: the first time, and again."""
    with TemporaryDirectory(prefix="aisleflow-bench-") as name:
        folder = Path(name)
        _write(folder / "book", size)
        on_sqlite = await _times(f"sqlite+aiosqlite:///{folder / 'fleet.db'}", folder, size)
        bare_sqlite = _bare_sqlite(folder / "bare.db", size)
        async with postgres() as server:
            on_postgres = await _times(server.url, folder, size)
            bare_postgres = await _bare_postgres(server, size)
    aim = Aim("measured", "<=", 60)
    note = f"{size.lines} lines as CSV, {size.staff} of them with a password (argon2); one transaction, fsync on"
    lines: list[Line] = []
    for engine, times, bare in (("SQLite", on_sqlite, bare_sqlite), ("PostgreSQL", on_postgres, bare_postgres)):
        for what, took_s in times.items():
            lines.append(Line(f"{what}, {engine}", took_s, "s", bare, "bare inserts", aim, "" if lines else note))
    return lines


async def _times(url: str, folder: Path, size: Size) -> dict[str, float]:
    await migrate(url)
    database = Database.open(url)
    passwords = Passwords(bytes(32))
    times = {}
    try:
        for what in ("book loaded", "loaded again"):
            began = time.perf_counter()
            outcome = await load(database, CREDENTIALS, passwords, VAULT, read_book(folder / "book"))
            times[what] = time.perf_counter() - began
            if outcome.problems or len(outcome.differences) != (size.lines if what == "book loaded" else 0):
                raise Failed(f"{what}: {outcome.counts}, {outcome.problems[:3]}")
        began = time.perf_counter()
        await dump(database, CREDENTIALS, passwords, VAULT, folder / "dumped.xlsx")
        times["dumped as XLSX"] = time.perf_counter() - began
        async with database.look(tenant=BRAND) as work:
            if drift := await ledger_drift(work, BRAND):
                raise Failed(f"the ledger is off by {drift} fen")
    finally:
        await database.close()
    return times


def _write(path: Path, size: Size) -> None:
    book: dict[str, list[Row]] = {
        "brands": [BrandRow(brand=BRAND, name="Bench")],
        "units": [UnitRow(brand=BRAND, unit=f"SH{n}", kind="shop", name=f"门店 {n}") for n in range(size.shops)],
        "accounts": list(_staff(size)),
        "goods": [
            GoodsRow(brand=BRAND, goods=f"VG{n}", name=f"商品 {n}", price_fen=100 + n % 900, barcode=f"69{n:011}")
            for n in range(size.goods)
        ],
        "machines": [
            MachineRow(brand=BRAND, machine=f"VI{n}", name=f"设备 {n}", place="一楼", shop=f"SH{n % size.shops}")
            for n in range(size.machines)
        ],
        "aisles": list(_aisles(size)),
        "members": [
            MemberRow(brand=BRAND, member=f"CU{n}", name=f"会员 {n}", phone=f"139{n:08}", opening_fen=1 + n % 50_000)
            for n in range(size.members)
        ],
    }
    with write_book(path) as write_sheet:
        for noun in NOUNS:
            if noun.name in book:
                write_sheet(noun.name, noun.columns.all, book[noun.name])


def _staff(size: Size) -> Iterator[Row]:
    for n in range(size.staff):
        yield AccountRow(
            brand=BRAND, login=f"staff{n}", unit=f"SH{n % size.shops}", phone=f"138{n:08}", password=f"a-password-{n}"
        )


def _aisles(size: Size) -> Iterator[Row]:
    for n in range(size.machines):
        for motor in range(AISLES_EACH):
            goods = (n + motor) % size.goods
            yield AisleRow(
                brand=BRAND, machine=f"VI{n}", aisle=f"AI{motor}", motor=motor, goods=f"VG{goods}", capacity=12
            )


def _bare_sqlite(path: Path, size: Size) -> float:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("CREATE TABLE lines (tenant TEXT, line INTEGER, name TEXT, PRIMARY KEY (tenant, line))")
        began = time.perf_counter()
        rows = ((BRAND, number, f"line {number}") for number in range(size.lines))
        connection.executemany("INSERT INTO lines VALUES (?, ?, ?)", rows)
        connection.commit()
        return time.perf_counter() - began


async def _bare_postgres(server: Postgres, size: Size) -> float:
    connection = await server.connect()
    try:
        await connection.execute("CREATE TABLE lines (tenant TEXT, line BIGINT, name TEXT, PRIMARY KEY (tenant, line))")
        rows = [(BRAND, number, f"line {number}") for number in range(size.lines)]
        began = time.perf_counter()
        async with connection.transaction():
            await connection.executemany("INSERT INTO lines VALUES ($1, $2, $3)", rows)
        return time.perf_counter() - began
    finally:
        await connection.close()


ROW = BenchRow(
    "load_lines",
    measure,
    full=Size(machines=5_000, members=41_500, goods=2_800, shops=499, staff=200),
    tiny=Size(machines=3, members=5, goods=4, shops=2, staff=2),
    minutes=3,
)
