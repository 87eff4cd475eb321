"""How the world of the samples is made: a load file, and what its machines report, all before the first test."""

from __future__ import annotations

from pathlib import Path

from cloud.accounts import store as accounts
from cloud.accounts.model import ROLES, Role, User, mint_token, token_hash
from cloud.accounts.passwords import Passwords, pepper_of
from cloud.accounts.vault import Vault
from cloud.database import Database, Work
from cloud.facades.vending.wire import COOKIE
from cloud.load.formats import read_book
from cloud.load.load import load
from cloud.machines.credentials import Credentials
from cloud.machines.register import claim
from cloud.orders.place import PlaceOrder, place
from shared.clock import ManualClock
from tests.cloud.api.world import SERVER_SECRET
from tests.cloud.conftest import NOON_MS
from tests.contracts.contract import HERE, contract
from tests.contracts.machines import Machines
from tests.contracts.world import BRAND, NAMES, PLATFORM, RIVAL, Settled, open_world

CREDENTIALS = Credentials(SERVER_SECRET)
VAULT = Vault(SERVER_SECRET)
_MINUTE_MS = 60_000
_HOUR_MS = 60 * _MINUTE_MS
_DAY_MS = 24 * _HOUR_MS
# Signed in long enough for every test; a token's own life is tested where tokens are.
_SIGNED_IN_MS = 365 * _DAY_MS

DIALECTS = ("native", "vending", "iot")

# Who is signed in beside the people of the matrix: caller -> (tenant, id); the ids are those of the book.
STAFF = {
    "platform": PLATFORM,
    **dict.fromkeys(("keeper", "second_keeper", "brand", "agent", "dealer", "shop", "other_agent"), BRAND),
    **dict.fromkeys(("rival", "rival_keeper"), RIVAL),
}
CUSTOMERS = {
    "anna": (BRAND, "CHLU0000000000000001"),
    "ben": (BRAND, "CHLU0000000000000002"),
    "rival_customer": (RIVAL, "RIVL0000000000000001"),
}


async def settle(url: str, folder: Path) -> Settled:
    """Make the world in a migrated database and put it to rest; `folder` is where the application keeps its files."""
    clock = ManualClock(wall_ms=NOON_MS - _DAY_MS - _HOUR_MS)
    database = Database.open(url, clock=clock)
    try:
        return await _settle(database, clock, folder)
    finally:
        await database.close()


async def _settle(database: Database, clock: ManualClock, folder: Path) -> Settled:
    passwords = Passwords(pepper_of(SERVER_SECRET))
    outcome = await load(database, CREDENTIALS, passwords, VAULT, read_book(HERE / "world.yaml"))
    assert outcome.written, outcome.problems
    async with database.work() as work:
        callers = await _sign_everybody_in(work)
    machines = Machines(database, CREDENTIALS, {})
    for machine, aisles in STOCK.items():
        async with database.work(tenant=RIVAL if machine in _RIVALS else BRAND) as work:
            await claim(work, CREDENTIALS, work.tenant or "", machine)
        await machines.boot(machine)
        for aisle, (goods, quantity) in aisles.items():
            await machines.fill(machine, aisle, goods, quantity)
    await _sell(database, machines, clock)
    await _offer(database, Settled(NAMES, callers, {}, NOON_MS), folder)
    return Settled(NAMES, callers, machines.told, NOON_MS)


async def _offer(database: Database, settled: Settled, folder: Path) -> None:
    """What the brands sell and rent out, offered as they would do it themselves; and anna's purifier is hers."""

    async def nothing() -> None:
        """Nobody goes back from here."""

    documented = contract("iot")
    product = next(case for case in documented["AC-02"].cases if case.name == "as documented").send
    async with open_world(database, settled, folder, nothing) as world:
        talk = world.talk("iot")
        for number in ("0123456789", "0123456788", "0123456787"):
            await talk.do("AC-02", send={**product, "prod_id": number})
        await talk.do("AC-02", by="rival", send={**product, "prod_id": "0123456009"})
        await talk.do("AB-11", by="anna", path={"DID": "CHLU01234567AAAA"}, send={})


async def _sign_everybody_in(work: Work) -> dict[str, dict[str, dict[str, str]]]:
    """Sessions in every dialect: of the people in the book, of one person per level and role, of customers, and some
    that are worth nothing."""
    callers: dict[str, dict[str, dict[str, str]]] = {dialect: {"nobody": {}} for dialect in DIALECTS}
    for caller, tenant in STAFF.items():
        await _sign_in(work, callers, caller, tenant, f"u-{caller}", "user")
    for caller, (unit, role) in _everybody().items():
        temporary = caller == "newcomer"
        user = User(BRAND, f"u-{caller}", caller, caller, role, False, temporary, work.now_ms, unit)
        assert await accounts.add_user(work, user, "no hash of any password")
        await _sign_in(work, callers, caller, BRAND, user.user, "user")
    for caller, (tenant, member) in CUSTOMERS.items():
        await _sign_in(work, callers, caller, tenant, member, "member")
    for dialect, known in callers.items():
        known["guessed"] = _carried(dialect, mint_token(BRAND))
    token = callers["iot"]["brand"]["Authorization"].removeprefix("Bearer ")
    callers["vending"]["elsewhere"] = _carried("vending", token)
    callers["iot"]["elsewhere"] = callers["native"]["brand"]
    callers["native"]["elsewhere"] = callers["iot"]["brand"]
    return callers


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


def _everybody() -> dict[str, tuple[str | None, Role]]:
    """One person of every role at every level of the brand, and one whose password is somebody else's."""
    units = {"brand": None, "agent": "AG1", "dealer": "DL1", "shop": "SH888"}
    found: dict[str, tuple[str | None, Role]] = {"newcomer": (None, "owner")}
    for level, unit in units.items():
        for role in ROLES:
            if role != "platform":
                found[f"{level}_{role}"] = (unit, role)
    return found


# --- what is sold where ---


# What lies in each aisle before anything is sold: machine -> {aisle: (goods, number)}.
STOCK: dict[str, dict[str, tuple[str, int]]] = {
    "VI107": {"AI59": ("VG22", 0), "AI56": ("VG9", 4), "AI61": ("VG13", 2)},
    "VI64": {"AI70": ("VG9", 5), "AI71": ("VG13", 5)},
    "VI119": {"AI80": ("VG14", 0)},
    "VI453": {"AI90": ("VG35", 2)},
    "VI210": {"AI95": ("VG9", 4), "AI96": ("VG22", 0)},
    "VI901": {"AI901": ("VG901", 3)},
    "CHLU01234567AAAA": {},
    "CHLU01234567BBBB": {},
    "RIVL01234567AAAA": {},
}
_RIVALS = ("VI901", "RIVL01234567AAAA")
PRICE_FEN = 300


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
