"""How the world of the samples is made: things by use cases, facts by machines, all before the first test."""

from __future__ import annotations

from pathlib import Path

from cloud.accounts import store as accounts
from cloud.accounts.brands import choose_brand_code
from cloud.accounts.model import ROLES, Role, Tenant, User, mint_token, token_hash
from cloud.accounts.passwords import Passwords, pepper_of
from cloud.accounts.units import open_unit
from cloud.database import Database, Work
from cloud.facades.vending.wire import COOKIE
from cloud.machines.credentials import Credentials
from cloud.members.store import put_sign_in
from cloud.members.wallet import join
from shared.clock import ManualClock
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


async def settle(url: str, data: Path) -> Settled:
    """Make the world in a migrated database and put it to rest."""
    clock = ManualClock(wall_ms=NOON_MS - _DAY_MS - _HOUR_MS)
    database = Database.open(url, clock=clock)
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
    await database.close()
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
