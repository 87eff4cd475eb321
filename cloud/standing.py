"""How machines stand for stock: which aisles are short, which are out, and what that makes of the machine.

An aisle is *out* when it is for sale and nothing can be sold from it, and *short* when it holds no more than a limit
(an aisle that is out is short as well). A machine is out when all its aisles are, or while somebody's word that it is
waits for goods; it is short when any aisle is. What an aisle holds is what the machine reported, plus what it was asked
to book and has not answered yet.

These are questions over several nouns; nothing here writes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, Literal

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Row,
    Select,
    Subquery,
    Text,
    and_,
    bindparam,
    case,
    cast,
    exists,
    func,
    or_,
    select,
    union_all,
)

from cloud.accounts.model import Reach
from cloud.accounts.reach import within
from cloud.catalog.store import goods, pictures_of
from cloud.database import Work
from cloud.machines.store import aisles, commands, machine_profiles, machines
from cloud.paging import LISTINGS_KEPT, Ask, Listing, Page
from cloud.stock.store import aisle_asks, stock_balances, warehouse_balances
from cloud.tickets.create import OUT_OF_STOCK
from cloud.tickets.model import Condition
from cloud.tickets.store import tickets

Standing = Literal["normal", "short", "out"]

# The key of the open ticket by which somebody said that a machine has nothing left, after the machine's id.
_NOTICE = Condition("", "", OUT_OF_STOCK, "machine").open_key


@dataclass(frozen=True, slots=True)
class AisleSeen:
    """One aisle with what lies in it. `there` is what can be sold once the machine has done what it was asked.

    `confirmed` is what the machine has reported. `in_warehouse` is of its goods in the warehouse of the shop.
    """

    machine: str
    aisle: str
    id: str
    name: str
    capacity: int
    for_sale: bool
    goods: str
    goods_name: str
    spec: str | None
    pictures: tuple[str, ...]
    there: int
    confirmed: int
    in_warehouse: int


@dataclass(frozen=True, slots=True)
class MachineStanding:
    """One machine; `short` and `out` count aisles, `empty` are those that are out."""

    machine: str
    name: str
    number: str
    place: str
    shop: str | None
    standing: Standing
    short: int
    out: int
    empty: tuple[AisleSeen, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingFilter:
    """Which machines; None does not restrict. `search` is found in name and number."""

    shop: str | None = None
    search: str | None = None
    standings: frozenset[Standing] | None = None


async def list_standings(
    work: Work, reach: Reach, tenant: str, wanted: StandingFilter, ask: Ask, *, shortage_at: int
) -> Page[MachineStanding]:
    """The machines in shops within reach, by id; sorted by -short or -out on wish."""
    needs_sums = ask.sort is not None or wanted.standings is not None
    listing = _listing(reach, tenant, wanted, shortage_at if needs_sums else None)
    found = await listing.page(work, ask, make=lambda row: str(row.machine))
    return Page(await _standings(work, tenant, found.items, shortage_at), found.total, found.page, found.page_size)


@lru_cache(maxsize=LISTINGS_KEPT)
def _listing(reach: Reach, tenant: str, wanted: StandingFilter, shortage_at: int | None) -> Listing:
    """Without `shortage_at` nothing is added up, and the list has no sorts."""
    here = within(reach, tenant=machines.c.tenant, unit=machines.c.shop)
    # Ids alone: what is sorted by the thousand had better be small.
    query = select(machines.c.machine).where(
        machines.c.tenant == tenant, machines.c.shop.is_not(None), here, _sells_goods(tenant)
    )
    if wanted.shop is not None:
        query = query.where(machines.c.shop == wanted.shop)
    if wanted.search is not None:
        columns = (machines.c.name, machines.c.number)
        query = query.where(or_(*(func.lower(c).contains(wanted.search.lower(), autoescape=True) for c in columns)))
    sorts: dict[str, ColumnElement[Any]] = {}
    if shortage_at is not None:
        # Looking up each aisle's machine costs more than adding up the few whose machine is not listed.
        every = wanted.shop is None and wanted.search is None and not reach.path
        sums = _sums(tenant, shortage_at, None if every else query.with_only_columns(machines.c.machine))
        query = query.outerjoin(sums, sums.c.machine == machines.c.machine)
        sorts = {name: func.coalesce(sums.c[name], 0) for name in ("short", "out")}
        if wanted.standings is not None:
            query = query.where(_standing(sums, tenant).in_(sorted(wanted.standings)))
    return Listing(query, sorts, (machines.c.machine,))


async def standings_of(
    work: Work, tenant: str, wanted: Collection[str], *, shortage_at: int
) -> Mapping[str, MachineStanding]:
    """How these machines stand."""
    return {one.machine: one for one in await _standings(work, tenant, sorted(wanted), shortage_at)}


async def count_standings(work: Work, tenant: str, shop: str, *, shortage_at: int) -> dict[Standing, int]:
    """How many machines of a shop are normal, short and out."""
    rows = await work.rows(_counted(tenant, shop, shortage_at))
    counted: dict[Standing, int] = {"normal": 0, "short": 0, "out": 0}
    return counted | {row.standing: row.machines for row in rows}


@lru_cache(maxsize=LISTINGS_KEPT)
def _counted(tenant: str, shop: str, shortage_at: int) -> Select[str, int]:
    here = machines.c.tenant == tenant, machines.c.shop == shop, _sells_goods(tenant)
    sums = _sums(tenant, shortage_at, select(machines.c.machine).where(*here))
    standing = _standing(sums, tenant).label("standing")
    query = select(standing, func.count().label("machines")).select_from(machines)
    query = query.outerjoin(sums, sums.c.machine == machines.c.machine)
    return query.where(*here).group_by(standing)


def _sells_goods(tenant: str) -> ColumnElement[bool]:
    """Not of a purifier, which has a plan of water and no aisle; a machine with both, or with nothing yet, is one.

    Purifiers are looked up once for the whole list, through the plans that their profiles name.
    """
    of = machine_profiles.c
    lies = and_(aisles.c.tenant == of.tenant, aisles.c.machine == of.machine, aisles.c.listed)
    purifiers = select(of.machine).where(of.tenant == tenant, of.mode != "", ~exists().where(lies))
    return machines.c.machine.not_in(purifiers)


async def aisles_seen(work: Work, tenant: str, wanted: Collection[str]) -> list[AisleSeen]:
    """Every aisle of these machines that their planograms list, by name and id."""
    rows = await work.rows(_aisles(), {"tenant": tenant, "machines": sorted(wanted)})
    return [_aisle_seen(row) for row in rows]


@cache
def _aisles() -> Select[Any]:
    tenant = bindparam("tenant", type_=Text)
    asked = _asked(tenant)
    there = stock_balances.c.sellable
    query = (
        select(
            aisles,
            goods.c.name.label("goods_name"),
            goods.c.spec,
            goods.c.pictures,
            there.label("confirmed"),
            (there + func.coalesce(asked.c.quantity, 0)).label("there"),
            func.coalesce(warehouse_balances.c.on_hand, 0).label("in_warehouse"),
        )
        .select_from(aisles)
        .join(
            stock_balances,
            and_(
                stock_balances.c.tenant == aisles.c.tenant,
                stock_balances.c.machine == aisles.c.machine,
                stock_balances.c.aisle == aisles.c.aisle,
            ),
        )
        .outerjoin(asked, and_(asked.c.machine == aisles.c.machine, asked.c.aisle == aisles.c.aisle))
        .join(machines, and_(machines.c.tenant == aisles.c.tenant, machines.c.machine == aisles.c.machine))
        .outerjoin(goods, and_(goods.c.tenant == aisles.c.tenant, goods.c.goods == aisles.c.goods))
        .outerjoin(
            warehouse_balances,
            and_(
                warehouse_balances.c.tenant == aisles.c.tenant,
                warehouse_balances.c.shop == machines.c.shop,
                warehouse_balances.c.goods == aisles.c.goods,
            ),
        )
        .where(aisles.c.tenant == tenant, aisles.c.listed, aisles.c.machine.in_(bindparam("machines", expanding=True)))
    )
    return query.order_by(aisles.c.machine, aisles.c.name, aisles.c.id)


def _aisle_seen(row: Row[Any]) -> AisleSeen:
    return AisleSeen(
        machine=row.machine,
        aisle=row.aisle,
        id=row.id,
        name=row.name,
        capacity=row.capacity,
        for_sale=row.for_sale,
        goods=row.goods,
        goods_name=row.goods_name or row.goods,
        spec=row.spec,
        pictures=() if row.pictures is None else pictures_of(row.pictures),
        there=max(row.there, 0),
        confirmed=max(row.confirmed, 0),
        in_warehouse=row.in_warehouse,
    )


async def _standings(work: Work, tenant: str, wanted: Sequence[str], shortage_at: int) -> list[MachineStanding]:
    """These machines, as far as they exist, in this order, with what is low in their aisles: two statements for all."""
    if not wanted:
        return []
    asked = {"tenant": tenant, "machines": wanted}
    here = {row.machine: row for row in await work.rows(_HERE, asked)}
    low: dict[str, list[Row[Any]]] = {machine: [] for machine in here}
    for aisle in await work.rows(_low(), {**asked, "at": max(shortage_at, 0)}):
        low[aisle.machine].append(aisle)
    return [_judged(here[machine], low[machine]) for machine in wanted if machine in here]


# Whether somebody's word that a machine has nothing left waits for goods.
_NOTICED = exists().where(tickets.c.tenant == machines.c.tenant, tickets.c.open_key == machines.c.machine + _NOTICE)
_HERE = select(machines, _NOTICED.label("noticed")).where(
    machines.c.tenant == bindparam("tenant"), machines.c.machine.in_(bindparam("machines", expanding=True))
)


@cache
def _low() -> Select[Any]:
    """The aisles for sale that are short, each with how many its machine has for sale."""
    for_sale_there = func.count().over(partition_by=aisles.c.machine).label("for_sale_there")
    every = _aisles().where(aisles.c.for_sale).order_by(None).add_columns(for_sale_there).subquery("every")
    low = select(every).where(every.c.there <= bindparam("at", type_=BigInteger))
    return low.order_by(every.c.machine, every.c.name, every.c.id)


def _judged(row: Row[Any], low: Sequence[Row[Any]]) -> MachineStanding:
    """The same rule as `_standing`, for rows that are here."""
    empty = tuple(_aisle_seen(aisle) for aisle in low if aisle.there <= 0)
    standing: Standing = "short" if low else "normal"
    if row.noticed or (low and len(empty) == low[0].for_sale_there):
        standing = "out"
    return MachineStanding(
        row.machine, row.name, row.number or row.name, row.place, row.shop, standing, len(low), len(empty), empty
    )


# --- the same in the database, for lists that are sorted or cut by it ---


def _whole(total: ColumnElement[Any]) -> ColumnElement[int]:
    """A sum as the whole number that it is; PostgreSQL makes a decimal of it, which is slow to reckon with."""
    return cast(total, BigInteger)


def _asked(tenant: str | ColumnElement[str]) -> Subquery:
    """Per aisle, what machines were asked to book and have not answered yet."""
    waiting = and_(
        commands.c.tenant == aisle_asks.c.tenant,
        commands.c.command == aisle_asks.c.command,
        commands.c.state == "waiting",
    )
    return (
        select(aisle_asks.c.machine, aisle_asks.c.aisle, _whole(func.sum(aisle_asks.c.quantity)).label("quantity"))
        .join(commands, waiting)
        .where(aisle_asks.c.tenant == tenant, commands.c.tenant == tenant)
        .group_by(aisle_asks.c.machine, aisle_asks.c.aisle)
        .subquery("asked")
    )


def _sums(tenant: str, shortage_at: int, of: Select[tuple[str]] | None) -> Subquery:
    """How many aisles are short and out, of those machines among these, or among all, that have any.

    Full aisles, which are most, are left aside before anything is joined.
    """
    balances, asked = stock_balances.c, _asked(tenant)
    at = max(shortage_at, 0)
    here = [balances.tenant == tenant, balances.for_sale, *([] if of is None else [balances.machine.in_(of)])]
    is_asked = and_(asked.c.machine == balances.machine, asked.c.aisle == balances.aisle)
    settled = select(balances.machine, balances.sellable.label("there"))
    settled = settled.where(*here, balances.sellable <= at, ~exists().where(is_asked))
    moving = select(balances.machine, balances.sellable + asked.c.quantity).join(asked, is_asked).where(*here)
    low = union_all(settled, moving).subquery("low").c
    query = select(low.machine, func.count().label("short"), func.count().filter(low.there <= 0).label("out"))
    return query.where(low.there <= at).group_by(low.machine).subquery("sums")


def _standing(sums: Subquery, tenant: str) -> ColumnElement[str]:
    balances = stock_balances.c
    theirs = and_(balances.tenant == tenant, balances.machine == machines.c.machine, balances.for_sale)
    all_out = sums.c.out == select(func.count()).where(theirs).correlate(machines).scalar_subquery()
    return case(
        (or_(and_(sums.c.out > 0, all_out), _NOTICED), "out"),
        (sums.c.short > 0, "short"),
        else_="normal",
    )
