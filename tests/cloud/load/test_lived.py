"""A brand that has lived for a while, moved to an empty database: every row that a dump holds is there again.

The world is made by what people do and not by a book, and the tables themselves are compared.
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Table, select

from cloud.accounts.agents import close_unit
from cloud.accounts.brand_profile import BrandChange, OwnerHashes, close_brand, merge_options, open_brand, set_secrets
from cloud.accounts.signings import SigningChange, add_signing
from cloud.accounts.staff import add_by_phone
from cloud.accounts.store import find_user
from cloud.accounts.units import open_unit
from cloud.audit import ledger_drift
from cloud.catalog.categories import add_category
from cloud.catalog.goods import add_goods, change_goods
from cloud.commission.model import Commission
from cloud.commission.store import put_commissions
from cloud.database import Database, Work, metadata
from cloud.leaving import device_retires, member_leaves
from cloud.limits import NAME_CHARS_MAX, TEXT_CHARS_MAX
from cloud.load.dump import dump
from cloud.load.formats import read_book
from cloud.load.load import load
from cloud.machines.planogram import put_config
from cloud.machines.profile import DeviceChange, change_device
from cloud.machines.register import claim, register
from cloud.members.devices import bind, share
from cloud.members.ledger import Ledger
from cloud.members.model import REVENUE, Posting, WeChat, commission, deposits, wallet
from cloud.members.opening import book_openings
from cloud.members.store import put_sign_in, put_wechat
from cloud.members.wallet import join, top_up
from cloud.products.model import Period, Rent
from cloud.products.shelf import add_product, delete_product
from cloud.promotions.advertise import AdvertisementChange, add_advertisement
from cloud.promotions.coupons import give_coupon
from cloud.promotions.offer import NewPromotion, open_promotion
from cloud.promotions.store import find_coupon, use_coupon
from cloud.rentals.begin import begin_rental
from cloud.rentals.model import Rental
from cloud.rentals.renew import renew_rental
from cloud.rentals.store import put_rentals
from cloud.stock.warehouse import receive
from cloud.water.equip import equip
from shared.clock import ManualClock
from shared.messages import AisleConfig
from tests.cloud.fleet import CREDENTIALS, VAULT
from tests.cloud.load.test_load import PASSWORDS
from tests.cloud.postgres import PostgresServer

HASH = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA"
# The tables that a dump holds, and what of a row it does not: when somebody wrote it last, here and in which payment.
HELD: dict[str, set[str]] = {
    "tenants": set(),
    "brand_codes": set(),
    "brand_profiles": set(),
    "brand_signings": set(),
    "units": {"changed_ms"},
    "users": set(),
    "phones": set(),
    "categories": {"changed_ms"},
    "goods": {"changed_ms"},
    "goods_categories": set(),
    "warehouse_balances": set(),
    "products": {"changed_ms"},
    "machines": set(),
    "machine_directory": set(),
    "aisles": set(),
    "machine_profiles": set(),
    "members": set(),
    "member_sign_ins": {"created_ms"},
    "member_wechats": set(),
    "member_machines": set(),
    "rentals": {"payment"},
    "promotions": set(),
    "coupons": set(),
    "advertisements": set(),
}


async def live(database: Database, clock: ManualClock) -> str:
    """A brand's first months, an hour for each thing done; answers whose they are."""

    async def does(what: Any) -> Any:
        clock.advance(3_600_000)
        return await database.transact(what)

    brand = await does(
        lambda work: open_brand(
            work,
            name="云岭净水",
            user="yunling",
            hashes=OwnerHashes(HASH, HASH),
            change=BrandChange(phone="13900001001", contact="周", short_name="云岭", kind=3),
        )
    )
    t = str(brand.tenant)
    await does(lambda work: set_secrets(work, VAULT, t, {"mp_secret": "an invented secret"}))
    await does(lambda work: merge_options(work, t, {"shortage_threshold": 4, "theme": {"dark": True}}))
    await does(lambda work: add_signing(work, t, SigningChange(title="首年", ends_ms=clock.wall_ms())))
    for unit, kind in (("AG1", "agent"), ("SH1", "shop"), ("SH2", "shop")):
        await does(lambda work, unit=unit, kind=kind: open_unit(work, t, unit, kind, f"机构 {unit}"))
    for unit, phone in (("SH1", "13900001002"), ("SH2", "13900001003")):
        await does(
            lambda work, unit=unit, phone=phone: add_by_phone(
                work, t, name="员工", role="technician", phone=phone, hashes=(HASH, HASH), unit=unit
            )
        )
    await does(lambda work: close_unit(work, t, "SH2"))
    await _fill(does, t)
    await _sell(does, t, clock)
    other = await does(
        lambda work: open_brand(
            work, name="已停业", user="gone-co", hashes=OwnerHashes(HASH, HASH), change=BrandChange(phone="13900001009")
        )
    )
    await does(lambda work: close_brand(work, other.tenant))
    return t


async def _fill(does: Any, t: str) -> None:
    """Machines, and what lies in them."""
    await does(lambda work: add_category(work, t, "饮料"))
    for goods in ("VG1", "VG2"):
        await does(
            lambda work, goods=goods: add_goods(work, t, goods, "水", 200, categories=["VGC1"], pictures=["a b.jpg"])
        )
    for machine in ("VI1", "VI2", "WP1", "WP2"):
        await does(lambda work, machine=machine: register(work, t, f"设备 {machine}", machine=machine))
        await does(lambda work, machine=machine: claim(work, CREDENTIALS, t, machine))
    for count in (1, 2, 3):
        # Not in the order of their names: the order of a planogram is what the panel shows.
        aisles = [
            AisleConfig(aisle=f"A{number}", board=1, motor=number, goods="VG1", price_fen=200, capacity=5 + count)
            for number in (3, 1, 2)
        ]
        await does(lambda work, aisles=aisles: put_config(work, CREDENTIALS, t, "VI1", aisles, "li"))
    await does(lambda work: change_goods(work, t, "VG1", archived=True))
    await does(lambda work: receive(work, t, "SH1", "VG2", 24, reference="r1", person="li"))
    await does(lambda work: device_retires(work, t, "VI2"))


async def _sell(does: Any, t: str, clock: ManualClock) -> None:
    """Members, and what they rent and are given."""
    rent = Rent(20_000, (Period("30d", "一月", 3_000),))
    texts = {"description": "水" * TEXT_CHARS_MAX, "introduction": ("https://example.cn/a b.png", "[1].png", "")}
    for product in ("P1", "P2"):
        await does(
            lambda work, product=product: add_product(
                work, t, product, {"name": "净" * NAME_CHARS_MAX, "price_fen": 9, "rent": rent, **texts}
            )
        )
    for member in ("CU1", "CU2", "CU3"):
        await does(lambda work, member=member: join(work, t, member, f"会员 {member}", "13900002000"))
        await does(lambda work, member=member: top_up(work, t, member, 700, "r1"))
    await does(lambda work: put_sign_in(work, t, "13900002001", "CU1", HASH))
    await does(lambda work: put_wechat(work, WeChat(t, "CU1", "an-openid", subscribed_ms=5_000, bound_ms=work.now_ms)))
    await does(lambda work: _earn(work, t))
    await does(lambda work: _spend_all(work, t, "CU3"))
    await does(lambda work: member_leaves(work, t, "CU3"))
    terms = {"product": "P1", "name": "净水机", "member": "CU1", "unit": None, "state": "agreed", "payment": None}
    agreed = Rental(
        tenant=t, rental="20261120ABCD000000000041", purchase="o1", bought_days=30, prepaid_ml=0, minimum_ml_per_day=0,
        deposit_fen=20_000, created_ms=clock.wall_ms(), **terms,
    )  # fmt: skip
    await does(lambda work: _agree(work, agreed, replace(agreed, rental="R2", created_ms=1)))
    rental = await does(lambda work: begin_rental(work, t, agreed.rental, "WP1"))
    product = (await does(lambda work: add_product(work, t, "P3", {"name": "x", "price_fen": 1}))).specification
    await does(lambda work: equip(work, CREDENTIALS, t, "WP1", product, "rental", plan=rental.plan()))
    await does(lambda work: share(work, t, "WP1", "CU1", "CU2"))
    await does(lambda work: bind(work, t, "WP2", "CU2"))
    await does(lambda work: change_device(work, t, "WP2", DeviceChange(product="P2", installer="吴")))
    await does(lambda work: delete_product(work, t, "P2"))
    offer = await does(lambda work: open_promotion(work, t, NewPromotion(kind="coupon", name="券", off_fen=100), "li"))
    await does(lambda work: give_coupon(work, t, offer.promotion, "CU2", "li"))
    await does(lambda work: add_advertisement(work, t, AdvertisementChange(title="新品", placement="home", machine="")))


async def _agree(work: Work, *agreed: Rental) -> None:
    """As a paid order does; the order and its payment are history, and not dumped."""
    await put_rentals(work, agreed)
    await book_openings(work, agreed[0].tenant, {deposits(one.rental): one.deposit_fen for one in agreed})


async def _earn(work: Work, t: str) -> None:
    earned = Commission(
        tenant=t,
        purchase="o9",
        level=1,
        member="CU2",
        unit=None,
        amount_fen=45,
        state="available",
        created_ms=work.now_ms,
    )
    await put_commissions(work, [earned])
    ledger = Ledger(work)
    ledger.book(t, "commission", "o9-1", [Posting(REVENUE, commission("CU2"), 45)])
    await ledger.write()


async def _use(work: Work, t: str, coupon: str, purchase: str) -> None:
    found = await find_coupon(work, t, coupon, lock=True)
    assert found is not None
    await use_coupon(work, found, purchase)


async def _spend_all(work: Work, t: str, member: str) -> None:
    ledger = Ledger(work)
    ledger.book(t, "spent", member, [Posting(wallet(member), REVENUE, 700)])
    await ledger.write()


async def test_what_a_dump_holds_is_there_again(
    database: Database, second: Database, clock: ManualClock, tmp_path: Path
) -> None:
    brand = await live(database, clock)
    await dump(database, CREDENTIALS, PASSWORDS, VAULT, tmp_path / "book.yaml", hashes=True)
    outcome = await load(second, CREDENTIALS, PASSWORDS, VAULT, read_book(tmp_path / "book.yaml"))
    assert outcome.problems == []
    assert outcome.notes == [f"3 aisles of {brand} are filled with archived goods, as the book says"]
    for name, but in HELD.items():
        assert await rows_of(second, metadata.tables[name], but) == await rows_of(
            database, metadata.tables[name], but
        ), name
    async with second.look() as work:
        assert await ledger_drift(work, brand) == 0
    await dump(second, CREDENTIALS, PASSWORDS, VAULT, tmp_path / "again.yaml", hashes=True)
    assert (tmp_path / "again.yaml").read_bytes() == (tmp_path / "book.yaml").read_bytes()


async def test_a_dump_moves_nothing_where_it_came_from(database: Database, clock: ManualClock, tmp_path: Path) -> None:
    brand = await live(database, clock)
    await dump(database, CREDENTIALS, PASSWORDS, VAULT, tmp_path / "book.yaml", hashes=True)
    book = read_book(tmp_path / "book.yaml")
    outcome = await load(database, CREDENTIALS, PASSWORDS, VAULT, book)
    assert (outcome.differences, outcome.problems, outcome.notes) == ([], [], [])
    # Life goes on, and somebody loads the old dump once more: money, and what has gone or was used, stay as they are.
    await database.transact(lambda work: top_up(work, brand, "CU1", 300, "r2"))
    await database.transact(lambda work: _spend_all(work, brand, "CU2"))
    await database.transact(lambda work: delete_product(work, brand, "P1"))
    await database.transact(lambda work: renew_rental(work, brand, "R2", Period("30d", "一月", 3_000)))
    await database.transact(lambda work: _use(work, brand, "CP1", "o77"))
    moved = ("ledger_accounts", "products", "rentals", "coupons")
    before = [await rows_of(database, metadata.tables[name], set()) for name in moved]
    outcome = await load(database, CREDENTIALS, PASSWORDS, VAULT, book)
    assert (outcome.differences, outcome.problems) == ([], [])
    assert outcome.notes == [f"opening_fen of 2 members of {brand} is not what they hold, and moves nothing any more"]
    assert [await rows_of(database, metadata.tables[name], set()) for name in moved] == before


async def test_new_numbers_begin_after_the_loaded_ones(
    database: Database, second: Database, clock: ManualClock, tmp_path: Path
) -> None:
    brand = await live(database, clock)
    await dump(database, CREDENTIALS, PASSWORDS, VAULT, tmp_path / "book.yaml")
    await load(second, CREDENTIALS, PASSWORDS, VAULT, read_book(tmp_path / "book.yaml"))

    async def mint(work: Work) -> list[str]:
        offer = await open_promotion(work, brand, NewPromotion(kind="coupon", name="券", off_fen=100), "li")
        coupon = await give_coupon(work, brand, offer.promotion, "CU2", "li")
        advertisement = await add_advertisement(work, brand, AdvertisementChange(title="x", placement="home"))
        signing = await add_signing(work, brand, SigningChange(title="次年"))
        return [offer.promotion, coupon.coupon, advertisement.advertisement, signing.signing]

    assert await second.transact(mint) == ["PM2", "CP2", "AD2", "2"]
    serials = metadata.tables["serials"]
    async with second.look() as work:
        query = select(serials.c.last).where(serials.c.tenant == brand, serials.c.kind == "purchase")
        assert await work.scalar(query) == 41, "rentals are numbered like orders"


async def test_the_brands_secrets_and_doors_open_again(
    database: Database, second: Database, clock: ManualClock, tmp_path: Path
) -> None:
    brand = await live(database, clock)
    await dump(database, CREDENTIALS, PASSWORDS, VAULT, tmp_path / "book.yaml")
    text = (tmp_path / "book.yaml").read_text(encoding="utf-8")
    assert "secret" not in text, "without --hashes there are no seals either"
    told = text.replace("brands:\n- brand:", "brands:\n- mp_secret: an invented secret\n  brand:", 1)
    (tmp_path / "book.yaml").write_text(told, encoding="utf-8")
    book = read_book(tmp_path / "book.yaml")
    assert (await load(second, CREDENTIALS, PASSWORDS, VAULT, book)).problems == []
    assert (await load(second, CREDENTIALS, PASSWORDS, VAULT, book)).differences == [], "it is the one that is sealed"
    phones = await rows_of(second, metadata.tables["phones"], set())
    assert sorted(row["phone"] for row in phones) == ["13900001001", "13900001002", "yunling"]
    async with second.look() as work:
        owner = next(row["user"] for row in phones if row["phone"] == "yunling")
        found = await find_user(work, brand, owner)
        assert found is not None
        assert found.login == "yunling"


async def rows_of(database: Database, table: Table, but: set[str]) -> list[dict[str, Any]]:
    """All rows of a table by key, without some of their columns."""
    async with database.look() as work:
        rows = await work.rows(select(table).order_by(*table.primary_key.columns))
        return [{name: value for name, value in row._mapping.items() if name not in but} for row in rows]


@pytest.fixture
async def second(
    database: Database, clock: ManualClock, postgres: PostgresServer, migrated_sqlite: Path, tmp_path: Path
) -> AsyncIterator[Database]:
    """An empty database of the same engine."""
    async with _empty(database.is_sqlite, postgres, migrated_sqlite, tmp_path) as url:
        opened = Database.open(url, clock=clock)
        try:
            yield opened
        finally:
            await opened.close()


@asynccontextmanager
async def _empty(is_sqlite: bool, postgres: PostgresServer, migrated_sqlite: Path, folder: Path) -> AsyncIterator[str]:
    name = f"t{uuid4().hex}"
    if is_sqlite:
        shutil.copy(migrated_sqlite, folder / name)
        yield f"sqlite+aiosqlite:///{folder / name}"
        return
    url = await postgres.create(name, template="template_fleet")
    try:
        yield url
    finally:
        await postgres.drop(name)
