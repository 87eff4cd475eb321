"""How the world of the samples is made: things by use cases, facts by machines, all before the first test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from cloud.accounts import store as accounts
from cloud.accounts.brands import choose_brand_code
from cloud.accounts.model import ROLES, Role, Tenant, User, mint_token, token_hash
from cloud.accounts.passwords import Passwords, pepper_of
from cloud.accounts.units import open_unit
from cloud.catalog.goods import add_goods
from cloud.database import Database, Work
from cloud.facades.vending.wire import COOKIE
from cloud.machines.credentials import Credentials
from cloud.machines.planogram import put_config
from cloud.machines.register import claim, machine_of, register
from cloud.machines.store import put_machine
from cloud.members.store import put_sign_in
from cloud.members.wallet import join, top_up
from cloud.orders.place import PlaceOrder, place
from shared.clock import ManualClock
from shared.messages import AisleConfig
from tests.cloud.api.world import SERVER_SECRET
from tests.cloud.conftest import NOON_MS
from tests.contracts.machines import Machines
from tests.contracts.world import BRAND, NAMES, PASSWORD, PLATFORM, RIVAL, Settled

CREDENTIALS = Credentials(SERVER_SECRET)
_MINUTE_MS = 60_000
_HOUR_MS = 60 * _MINUTE_MS
_DAY_MS = 24 * _HOUR_MS
# Signed in long enough for every test; a token's own life is tested where tokens are.
_SIGNED_IN_MS = 30 * _DAY_MS

DIALECTS = ("native", "vending", "iot")

# Who works where: name -> (tenant, unit, role, phone).
PEOPLE: dict[str, tuple[str, str | None, Role, str]] = {
    "platform": (PLATFORM, None, "platform", "13900001000"),
    "keeper": (BRAND, "DL1", "operator", "13900001001"),
    "second_keeper": (BRAND, "SH21", "operator", "13900001002"),
    "brand": (BRAND, None, "owner", "13900001003"),
    "agent": (BRAND, "AG1", "owner", "13900001004"),
    "dealer": (BRAND, "DL1", "owner", "13900001005"),
    "shop": (BRAND, "SH888", "owner", "13900001006"),
    "other_agent": (BRAND, "AG2", "owner", "13900001007"),
    "rival": (RIVAL, None, "owner", "13900001008"),
    "rival_keeper": (RIVAL, "SH901", "operator", "13900001009"),
}
_PEOPLE_NAMES = {
    "keeper": "立春",
    "second_keeper": "雨水",
    "brand": "惊蛰",
    "agent": "春分",
    "dealer": "清明",
    "shop": "谷雨",
}

# Customers: name -> (tenant, id, what he is called, phone).
CUSTOMERS = {
    "anna": (BRAND, "CHLU0000000000000001", "安安", "13900003001"),
    "ben": (BRAND, "CHLU0000000000000002", "小本", "13900003002"),
    "rival_customer": (RIVAL, "RIVL0000000000000001", "别家的", "13900003901"),
}


async def settle(url: str) -> Settled:
    """Make the world in a migrated database and put it to rest."""
    clock = ManualClock(wall_ms=NOON_MS - _DAY_MS - _HOUR_MS)
    database = Database.open(url, clock=clock)
    try:
        return await _settle(database, clock)
    finally:
        await database.close()


async def _settle(database: Database, clock: ManualClock) -> Settled:
    passwords = Passwords(pepper_of(SERVER_SECRET))
    plain, sent = await passwords.hash(PASSWORD), await passwords.hash_sent(PASSWORD)
    async with database.work() as work:
        for tenant, name in ((PLATFORM, "平台"), (BRAND, "晨露科技有限公司"), (RIVAL, "暮雪科技有限公司")):
            await accounts.add_tenant(work, Tenant(tenant, name, work.now_ms))
        await choose_brand_code(work, BRAND, "CHLU")
        await choose_brand_code(work, RIVAL, "RIVL")
        await _units(work)
        callers: dict[str, dict[str, dict[str, str]]] = {dialect: {"nobody": {}} for dialect in DIALECTS}
        for caller, (tenant, unit, role, phone) in {**PEOPLE, **_everybody()}.items():
            name = _PEOPLE_NAMES.get(caller, caller)
            temporary = caller == "newcomer"
            user = User(tenant, f"u-{caller}", caller, name, role, False, temporary, work.now_ms, unit, phone)
            assert await accounts.add_user(work, user, plain, sent)
            await _sign_in(work, callers, caller, tenant, user.user, "user")
        for caller, (tenant, member, name, phone) in CUSTOMERS.items():
            await join(work, tenant, member, name, phone)
            await put_sign_in(work, tenant, phone, member, sent)
            await _sign_in(work, callers, caller, tenant, member, "member")
    for dialect, known in callers.items():
        known["guessed"] = _carried(dialect, mint_token(BRAND))
    token = callers["iot"]["brand"]["Authorization"].removeprefix("Bearer ")
    callers["vending"]["elsewhere"] = _carried("vending", token)
    callers["iot"]["elsewhere"] = callers["native"]["brand"]
    callers["native"]["elsewhere"] = callers["iot"]["brand"]
    machines = Machines(database, CREDENTIALS, {})
    async with database.work(tenant=BRAND) as work:
        await _goods(work, BRAND, GOODS)
        await join(work, BRAND, "CU969", "小雪", "13900003969")
        await top_up(work, BRAND, "CU969", 10_000, "opening")
    async with database.work(tenant=RIVAL) as work:
        await _goods(work, RIVAL, RIVAL_GOODS)
    for machine in MACHINES:
        async with database.work(tenant=machine.tenant) as work:
            await _stand(work, machine)
        await machines.boot(machine.machine)
        for aisle in machine.aisles:
            await machines.fill(machine.machine, aisle.aisle, aisle.goods, aisle.quantity)
    await _sell(database, machines, clock)
    return Settled(NAMES, callers, machines.told, NOON_MS)


async def _units(work: Work) -> None:
    await open_unit(work, BRAND, "AG1", "agent", "南方代理")
    await open_unit(work, BRAND, "DL1", "dealer", "珠海经销", parent="AG1")
    await open_unit(work, BRAND, "SH888", "shop", "晨露便利店", parent="DL1", address="露水路 8 号", logo="dew.png")
    await open_unit(work, BRAND, "SH21", "shop", "晨露二店", parent="DL1", address="露水路 21 号")
    await open_unit(work, BRAND, "AG2", "agent", "北方代理")
    await open_unit(work, BRAND, "SH77", "shop", "北方店", parent="AG2")
    await open_unit(work, RIVAL, "SH901", "shop", "暮雪店")


async def _sign_in(
    work: Work, callers: dict[str, dict[str, dict[str, str]]], caller: str, tenant: str, holder: str, kind: str
) -> None:
    """A session in every dialect, without the wait for a password."""
    for dialect in DIALECTS:
        token = mint_token(tenant)
        until = work.now_ms + _SIGNED_IN_MS
        await accounts.add_token(work, tenant, token_hash(token), holder, until, audience=dialect, holder=kind)
        callers[dialect][caller] = _carried(dialect, token)


def _carried(dialect: str, token: str) -> dict[str, str]:
    """The headers that carry a token."""
    return {"Cookie": f"{COOKIE}={token}"} if dialect == "vending" else {"Authorization": f"Bearer {token}"}


def _everybody() -> dict[str, tuple[str, str | None, Role, str]]:
    """One person of every role at every level of the brand, and one whose password is somebody else's."""
    units = {"brand": None, "agent": "AG1", "dealer": "DL1", "shop": "SH888"}
    found: dict[str, tuple[str, str | None, Role, str]] = {"newcomer": (BRAND, None, "owner", "")}
    for level, unit in units.items():
        for role in ROLES:
            if role != "platform":
                found[f"{level}_{role}"] = (BRAND, unit, role, "")
    return found


# --- what is sold where ---


@dataclass(frozen=True, slots=True)
class Aisle:
    """An aisle, and what lies in it before anything is sold; `goods` "" for one that nobody has configured."""

    aisle: str
    name: str
    goods: str
    quantity: int


@dataclass(frozen=True, slots=True)
class Standing:
    """A machine in its shop, and who looks after it."""

    tenant: str
    machine: str
    shop: str
    name: str
    number: str
    keeper: tuple[str, str]
    aisles: tuple[Aisle, ...]


# Goods: id -> (name, specification, category path, bar code, in the shop's store).
GOODS: dict[str, tuple[str, str | None, tuple[str, ...], str, int]] = {
    "VG9": ("橙味汽水", "320ml", ("VGC9",), "690000000009", 8),
    "VG13": ("苏打水", None, ("VGC9", "VGC19"), "690000000013", 900),
    "VG14": ("海盐薯条", "100g", ("VGC10",), "690000000014", 557),
    "VG22": ("麻辣面筋", "大包", ("VGC10", "VGC20"), "690000000022", 0),
    "VG35": ("土豆片", "250g", ("VGC10",), "690000000035", 888),
    "VG36": ("称重糖", "123", ("VGC10",), "690000000036", 11),
    "VG37": ("米花", "123", ("VGC10",), "690000000037", 123),
}
RIVAL_GOODS = {"VG901": ("别家的水", "1L", ("VGC901",), "690000000901", 50)}
CATEGORIES = {"VGC9": "饮料", "VGC10": "零食", "VGC24": "方便面", "VGC19": "汽水", "VGC20": "辣味"}

MACHINES = (
    Standing(
        BRAND,
        "VI107",
        "SH888",
        "大堂测试机",
        "大堂测试机",
        ("阿禾", "13900002001"),
        (
            Aisle("AI59", "2", "VG22", 0),
            Aisle("AI67", "1", "", 0),
            Aisle("AI56", "1", "VG9", 4),
            Aisle("AI61", "3", "VG13", 2),
        ),
    ),
    Standing(
        BRAND,
        "VI64",
        "SH888",
        "0008",
        "0008",
        ("阿禾", "13900002002"),
        (Aisle("AI70", "1", "VG9", 5), Aisle("AI71", "2", "VG13", 5)),
    ),
    Standing(
        BRAND,
        "VI119",
        "SH888",
        "二楼测试机",
        "二楼测试机",
        ("谷雨", "13900002003"),
        (Aisle("AI80", "1", "VG14", 0),),
    ),
    Standing(BRAND, "VI453", "SH888", "V453", "测试", ("谷雨", "13900002003"), (Aisle("AI90", "1", "VG35", 2),)),
    Standing(
        BRAND,
        "VI210",
        "SH21",
        "二店一号",
        "0210",
        ("小暑", "13900002004"),
        (Aisle("AI95", "1", "VG9", 4), Aisle("AI96", "2", "VG22", 0)),
    ),
    Standing(RIVAL, "VI901", "SH901", "别家一号", "0901", ("大寒", "13900002901"), (Aisle("AI901", "1", "VG901", 3),)),
)
CAPACITY = 5
PRICE_FEN = 300


async def _goods(
    work: Work, tenant: str, goods: Mapping[str, tuple[str, str | None, tuple[str, ...], str, int]]
) -> None:
    for item, (name, _spec, _categories, _barcode, _stock) in goods.items():
        await add_goods(work, tenant, item, name, PRICE_FEN)


async def _stand(work: Work, standing: Standing) -> None:
    """Register a machine, put it into its shop, and configure it."""
    tenant, machine = standing.tenant, standing.machine
    await register(work, tenant, standing.name, place="露水路", machine=machine)
    await claim(work, CREDENTIALS, tenant, machine)
    keeper, phone = standing.keeper
    found = await machine_of(work, tenant, machine, lock=True)
    await put_machine(
        work, replace(found, shop=standing.shop, number=standing.number, keeper=keeper, keeper_phone=phone)
    )
    layout = [
        AisleConfig(
            aisle=aisle.aisle,
            board=1,
            motor=motor,
            goods=aisle.goods,
            price_fen=PRICE_FEN,
            capacity=CAPACITY,
            name=aisle.name,
        )
        for motor, aisle in enumerate(standing.aisles)
        if aisle.goods
    ]
    await put_config(work, CREDENTIALS, tenant, machine, layout, "setup")


async def _sell(database: Database, machines: Machines, clock: ManualClock) -> None:
    """One sale yesterday, and two today: of a button, and of a member's order."""
    await machines.obey()
    await machines.sell("VI107", "AI61", "VG13", PRICE_FEN)
    clock.advance(NOON_MS - 90 * _MINUTE_MS - clock.wall_ms())
    await machines.sell("VI107", "AI56", "VG9", PRICE_FEN)
    clock.advance(40 * _MINUTE_MS)
    await machines.greet()
    wanted = PlaceOrder(tenant=BRAND, member="CU969", machine="VI107", aisle="AI61", idempotency_key="the-order")
    order = await database.transact(lambda work: place(work, wanted), tenant=BRAND)
    await machines.sell("VI107", "AI61", "VG13", PRICE_FEN, order=order.order)
    clock.advance(NOON_MS - clock.wall_ms())
    await machines.greet()
