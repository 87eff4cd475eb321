"""Dumping: everything that can be loaded, as it is at one moment."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from cloud.accounts.passwords import Passwords
from cloud.accounts.vault import Vault
from cloud.database import Database
from cloud.errors import FleetError
from cloud.load.columns import Row
from cloud.load.formats import write_book
from cloud.load.noun import Run
from cloud.load.nouns import NOUNS
from cloud.load.nouns.brands import all_brands
from cloud.machines.credentials import Credentials


@dataclass(slots=True)
class Dumped:
    """How many lines each noun has."""

    lines: dict[str, int] = field(default_factory=dict)


async def dump(
    database: Database,
    credentials: Credentials,
    passwords: Passwords,
    vault: Vault,
    path: Path | None,
    *,
    brand: str | None = None,
    hashes: bool = False,
) -> Dumped:
    """Write all brands, or one, to `path`; `hashes` tells the hashes of passwords and the sealed secrets as well.

    The brands' sheet comes first and is always there; other nouns are left out when there are none of them.
    FleetError not_found for a brand that is not there.
    """
    dumped = Dumped()
    async with database.look() as work:
        brands = await all_brands(work)
        if brand is not None and brand not in brands:
            raise FleetError("not_found", f"there is no brand {brand!r}", field="brand")
        run = Run(work, credentials, passwords, vault)
        with write_book(path) as write_sheet:
            for noun in NOUNS:
                rows: list[Row] = []
                for one in brands if brand is None else [brand]:
                    rows += sorted(await noun.present(run, one, None), key=noun.order_of)
                if rows or noun is NOUNS[0]:
                    columns = [column for column in noun.columns.all if hashes or not column.is_secret]
                    write_sheet(noun.name, columns, rows)
                    dumped.lines[noun.name] = len(rows)
    return dumped


def write_template(path: Path) -> None:
    """Write a book of all nouns without a line, to be filled in."""
    with write_book(path) as write_sheet:
        for noun in NOUNS:
            write_sheet(noun.name, noun.columns.all, [])
