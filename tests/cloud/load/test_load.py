"""What a book does: creates, changes, leaves alone, refuses; on both engines."""

from __future__ import annotations

from pathlib import Path

import msgspec
from sqlalchemy import select

from cloud.accounts.audit import audit_breaks
from cloud.accounts.passwords import Passwords
from cloud.accounts.store import add_token, audit_rows, holder_of_token, remove_token, user_by_login
from cloud.audit import ledger_drift
from cloud.catalog.goods import goods_of
from cloud.catalog.store import goods
from cloud.database import Database, Work, metadata
from cloud.downlink import Outgoing, lease
from cloud.load.formats import read_book
from cloud.load.load import Outcome, load
from cloud.machines.planogram import current_config, current_configs
from cloud.machines.register import claim
from cloud.members.wallet import top_up, wallet_balance
from cloud.outcalls import make_due
from cloud.products.shelf import REFIT
from cloud.water.refit import refit_handler
from shared.clock import ManualClock
from shared.messages import ApplyConfig, Command, MachineConfig, SetSelling, decode_ask
from shared.water import PurifierConfig
from tests.cloud.fleet import CREDENTIALS, VAULT, Device, say

PASSWORDS = Passwords(b"pepper")
BOOK = """
brands:
- {brand: acme, name: 云岭}
accounts:
- {login: zhang, name: 张三, role: owner, password: tiger-lily-2288}
goods:
- {goods: VG9, name: 百事, price_fen: 300}
- {goods: VG13, name: 可口, price_fen: 350, barcode: '0123'}
machines:
- {machine: VI107, name: 测试货道}
aisles:
- {machine: VI107, aisle: AI59, motor: 1, goods: VG9, capacity: 5}
- {machine: VI107, aisle: AI56, motor: 2, goods: VG13, capacity: 5, price_fen: 400, name: 二号}
members:
- {member: CU969, name: 王, phone: 13900000001, opening_fen: 1200}
"""


async def loaded(
    database: Database, tmp_path: Path, text: str, *, keep_good: bool = False, dry_run: bool = False
) -> Outcome:
    """Load a book that is given as text."""
    path = tmp_path / "book.yaml"
    path.write_text(text, encoding="utf-8")
    return await load(database, CREDENTIALS, PASSWORDS, VAULT, read_book(path), keep_good=keep_good, dry_run=dry_run)


def told(outcome: Outcome) -> list[str]:
    """The problems as people read them, without the folder."""
    return [str(problem).rpartition("book.yaml: ")[2] for problem in outcome.problems]


async def test_a_book_brings_everything_with_the_callers_ids(database: Database, tmp_path: Path) -> None:
    outcome = await loaded(database, tmp_path, BOOK)
    assert (outcome.problems, outcome.written) == ([], True)
    async with database.look(tenant="acme") as work:
        config = await current_config(work, "acme", "VI107")
        assert config is not None
        assert config.version == 1
        assert [(aisle.aisle, aisle.price_fen, aisle.name) for aisle in config.aisles] == [
            ("AI59", 300, "百事"),
            ("AI56", 400, "二号"),
        ]
        assert (await goods_of(work, "acme", "VG13")).barcode == "0123"
        assert await wallet_balance(work, "acme", "CU969") == 1200
        assert await ledger_drift(work, "acme") == 0
        found = await user_by_login(work, "acme", "zhang")
        assert found is not None
        assert found[0].password_is_temporary
        assert await PASSWORDS.matches(found[1], "tiger-lily-2288")


async def test_loading_it_again_changes_nothing(database: Database, tmp_path: Path) -> None:
    await loaded(database, tmp_path, BOOK)
    again = await loaded(database, tmp_path, BOOK)
    assert (again.differences, again.problems) == ([], [])
    assert {counts.unchanged for counts in again.counts.values()} == {1, 2}
    async with database.look(tenant="acme") as work:
        assert len(await audit_rows(work, "acme")) == 1, "a run that changes nothing is not recorded"
        assert await audit_breaks(work, "acme") == []
        config = await current_config(work, "acme", "VI107")
        assert config is not None
        assert config.version == 1


async def test_columns_that_are_not_given_keep_their_values(database: Database, tmp_path: Path) -> None:
    await loaded(database, tmp_path, BOOK)
    outcome = await loaded(database, tmp_path, "goods:\n- {brand: acme, goods: VG13, price_fen: 380}\n")
    (difference,) = outcome.differences
    assert difference.changes == {"price_fen": (350, 380)}
    async with database.look(tenant="acme") as work:
        assert (await goods_of(work, "acme", "VG13")).barcode == "0123"


async def test_an_empty_cell_is_the_default(database: Database, tmp_path: Path) -> None:
    await loaded(database, tmp_path, BOOK)
    outcome = await loaded(database, tmp_path, "goods:\n- {brand: acme, goods: VG13, barcode: }\n")
    assert outcome.differences[0].changes == {"barcode": ("0123", "")}


async def test_a_dry_run_tells_and_writes_nothing(database: Database, tmp_path: Path) -> None:
    outcome = await loaded(database, tmp_path, BOOK, dry_run=True)
    assert (len(outcome.differences), outcome.written) == (8, False)
    assert len((await loaded(database, tmp_path, BOOK)).differences) == 8


BAD = """
brands:
- {brand: acme, name: 云岭}
goods:
- {goods: VG9, name: 百事, price_fen: 300}
- {goods: 'VG 1', name: '', price_fen: minus}
- {goods: VG9, name: 可口, price_fen: 1}
- {goods: VG10, price_fen: 1}
- {goods: VG11, name: x, price_fen: 1, colour: red}
machines:
- {machine: VI107, name: 测试货道, temperature_low_tenths_c: 90, temperature_high_tenths_c: 10}
- {machine: VI108, name: 测试货道}
- {brand: nobody, machine: VI109, name: 测试货道}
aisles:
- {machine: VI107, aisle: AI1, motor: 1, goods: VG9, capacity: 5}
- {machine: VI108, aisle: AI1, motor: 1, goods: VG9, capacity: 5}
- {machine: VI108, aisle: AI2, motor: 1, goods: VG9, capacity: 5}
- {machine: VI108, aisle: AI3, motor: 3, goods: VG99, capacity: 5}
accounts:
- {login: zhang, password: short}
shelves:
- {a: b}
"""
COMPLAINTS = [
    "shelves: 'shelves': is no sheet we know: expected one of ",
    "accounts, row 20, column password: a password has 12 to 200 characters, this one has 5",
    "goods, row 6, column goods: 'VG 1': expected str matching regex",
    "goods, row 6, column name: is missing",
    "goods, row 6, column price_fen: 'minus': expected int, got str",
    "goods, row 7, column goods: 'VG9': is the key of row 5 as well",
    "goods, row 9, column colour: 'red': is no column of goods",
    "goods, row 8, column name: is missing: a new line needs it",
    "machines, row 13, column brand: 'nobody': is no brand we know, or its line was refused",
    "machines, row 11, column temperature_low_tenths_c: 90: 90 is not below temperature_high_tenths_c 10",
    "aisles, row 15, column machine: 'VI107': there is no 'VI107' in machines, its line was refused",
    "aisles, row 18, column goods: 'VG99': there is no 'VG99' in goods",
    "aisles, row 17, column motor: 1: motor 1 of board 1 belongs to aisle AI1",
]


async def test_every_bad_line_is_told_and_nothing_is_written(database: Database, tmp_path: Path) -> None:
    outcome = await loaded(database, tmp_path, BAD)
    for complaint in COMPLAINTS:
        assert [line for line in told(outcome) if line.startswith(complaint)], (complaint, told(outcome))
    assert len(outcome.problems) == len(COMPLAINTS)
    assert not outcome.written
    async with database.look() as work:
        assert not await list_goods(work)


async def test_the_good_lines_can_be_kept(database: Database, tmp_path: Path) -> None:
    outcome = await loaded(database, tmp_path, BAD, keep_good=True)
    assert len(outcome.problems) == len(COMPLAINTS)
    async with database.look() as work:
        assert await list_goods(work) == ["VG9"]
        config = await current_config(work, "acme", "VI108")
        assert config is not None
        assert [aisle.aisle for aisle in config.aisles] == ["AI1"]


async def test_an_unclaimed_machine_gets_its_planogram_at_its_first_hello(
    database: Database, tmp_path: Path, clock: ManualClock
) -> None:
    await loaded(database, tmp_path, BOOK)
    assert await database.transact(lease) == []
    await database.transact(lambda work: claim(work, CREDENTIALS, "acme", "VI107"))
    await say(database, Device("VI107", clock).hello(config_version=0))
    (config,) = asks(await database.transact(lease))
    assert isinstance(config, ApplyConfig)
    assert config.version == 1
    assert '"AI59"' in config.document


async def test_a_claimed_machine_gets_one_new_version_for_both_sheets(database: Database, tmp_path: Path) -> None:
    await loaded(database, tmp_path, BOOK)
    await database.transact(lambda work: claim(work, CREDENTIALS, "acme", "VI107"))
    change = """
machines:
- {brand: acme, machine: VI107, temperature_high_tenths_c: 150}
aisles:
- {brand: acme, machine: VI107, aisle: AI59, price_fen: 310}
- {brand: acme, machine: VI107, aisle: AI67, motor: 3, goods: VG9, capacity: 5}
"""
    assert (await loaded(database, tmp_path, change)).counts["aisles"].changed == 1
    (config,) = asks(await database.transact(lease))
    assert isinstance(config, ApplyConfig)
    document = msgspec.json.decode(config.document, type=MachineConfig)
    assert (document.version, document.temperature_high_tenths_c) == (2, 150)
    assert [(aisle.aisle, aisle.price_fen) for aisle in document.aisles] == [
        ("AI59", 310),
        ("AI56", 400),
        ("AI67", 300),
    ]


async def test_motors_may_change_places_in_one_book(database: Database, tmp_path: Path) -> None:
    await loaded(database, tmp_path, BOOK)
    swap = """
aisles:
- {brand: acme, machine: VI107, aisle: AI59, motor: 2}
- {brand: acme, machine: VI107, aisle: AI56, motor: 1}
"""
    assert (await loaded(database, tmp_path, swap)).problems == []


async def test_a_machine_of_another_brand_is_refused(database: Database, tmp_path: Path) -> None:
    await loaded(database, tmp_path, BOOK)
    other = "brands:\n- {brand: other, name: x}\nmachines:\n- {machine: VI107, name: x}\n"
    assert told(await loaded(database, tmp_path, other)) == [
        "machines, row 4, column machine: 'VI107': is the id of somebody else's machine: ids are unique over all brands"
    ]


async def test_an_opening_balance_is_booked_once(database: Database, tmp_path: Path) -> None:
    await loaded(database, tmp_path, BOOK)
    await database.transact(lambda work: top_up(work, "acme", "CU969", 500, "r1"))
    assert (await loaded(database, tmp_path, BOOK)).differences == []
    more = (
        "members:\n- {brand: acme, member: CU969, opening_fen: 1300}\n- {brand: acme, member: CU970, opening_fen: 1}\n"
    )
    outcome = await loaded(database, tmp_path, more)
    assert outcome.notes == ["opening_fen of 1 members of acme is not what they hold, and moves nothing any more"]
    async with database.look(tenant="acme") as work:
        assert [await wallet_balance(work, "acme", member) for member in ("CU969", "CU970")] == [1700, 1]
        assert await ledger_drift(work, "acme") == 0


async def test_a_new_password_signs_out_and_an_old_one_does_not(database: Database, tmp_path: Path) -> None:
    await loaded(database, tmp_path, BOOK)

    async def tokens_left(password: str) -> int:
        async with database.work(tenant="acme") as work:
            found = await user_by_login(work, "acme", "zhang")
            assert found is not None
            await add_token(work, "acme", "hash-of-a-token", found[0].user, work.now_ms + 1000)
        line = f"accounts:\n- {{brand: acme, login: zhang, password: {password}}}\n"
        assert (await loaded(database, tmp_path, line)).problems == []
        async with database.work(tenant="acme") as work:
            left = await holder_of_token(work, "acme", "hash-of-a-token", "native")
            await remove_token(work, "acme", "hash-of-a-token")
            return 0 if left is None else 1

    assert await tokens_left("tiger-lily-2288") == 1
    assert await tokens_left("other-lily-2288") == 0


async def test_an_account_without_a_password_opens_to_nobody(database: Database, tmp_path: Path) -> None:
    text = "brands:\n- {brand: acme, name: x}\naccounts:\n- {login: li, role: viewer}\n"
    outcome = await loaded(database, tmp_path, text)
    assert outcome.notes[0].startswith("1 accounts of acme have no password yet")
    async with database.look(tenant="acme") as work:
        found = await user_by_login(work, "acme", "li")
        assert found is not None
        assert not await PASSWORDS.matches(found[1], "")


async def list_goods(work: Work) -> list[str]:
    """Ids of all goods."""
    return [row.goods for row in await work.rows(select(goods.c.goods))]


def asks(sent: list[Outgoing]) -> list[object]:
    """What machines were asked."""
    commands = [msgspec.json.decode(one.payload, type=Command) for one in sent if one.channel == "command"]
    return [decode_ask(command.ask) for command in commands]


async def test_what_has_ended_stays_as_it_is(database: Database, tmp_path: Path) -> None:
    ended = BOOK.replace("phone: 13900000001, opening_fen: 1200", "until: 2026-03-01")
    ended = ended.replace("VI107, name: 测试货道", "VI107, name: 测试货道, until: 2026-03-01")
    await loaded(database, tmp_path, ended)
    assert (await loaded(database, tmp_path, BOOK)).differences == []
    bound = "device_bindings:\n- {brand: acme, machine: VI107, member: CU969}\n"
    assert told(await loaded(database, tmp_path, bound)) == [
        "device_bindings, row 2, column machine: 'VI107': is not there any more: it has ended"
    ]


async def test_what_a_new_line_brought_is_not_changed_later(database: Database, tmp_path: Path) -> None:
    await loaded(database, tmp_path, BOOK)
    later = (
        "machines:\n- {brand: acme, machine: VI107, since: 2020-01-01, claimed: 2020-01-01, credential_version: 9}\n"
    )
    assert (await loaded(database, tmp_path, later)).differences == []


async def test_a_member_who_is_shut_out_is_signed_out(database: Database, tmp_path: Path) -> None:
    await loaded(database, tmp_path, BOOK)
    async with database.work(tenant="acme") as work:
        await add_token(work, "acme", "hash-of-a-token", "CU969", work.now_ms + 1000, audience="iot", holder="member")
    await loaded(database, tmp_path, "members:\n- {brand: acme, member: CU969, remark: x}\n")
    async with database.look(tenant="acme") as work:
        assert await holder_of_token(work, "acme", "hash-of-a-token", "iot") == "CU969"
    await loaded(database, tmp_path, "members:\n- {brand: acme, member: CU969, state: disabled}\n")
    async with database.look(tenant="acme") as work:
        assert await holder_of_token(work, "acme", "hash-of-a-token", "iot") is None


async def test_a_machine_that_is_stopped_is_told(database: Database, tmp_path: Path) -> None:
    await loaded(database, tmp_path, BOOK + "device_profiles:\n- {machine: VI107, model: x}\n")
    await database.transact(lambda work: claim(work, CREDENTIALS, "acme", "VI107"))
    stop = "device_profiles:\n- {brand: acme, machine: VI107, stopped: true}\n"
    assert (await loaded(database, tmp_path, stop)).counts["device_profiles"].changed == 1
    (asked,) = asks(await database.transact(lease))
    assert isinstance(asked, SetSelling)
    assert not asked.selling


async def test_a_brand_without_a_name_in_the_book_is_the_only_one_there(database: Database, tmp_path: Path) -> None:
    await loaded(database, tmp_path, BOOK)
    text = "goods:\n- {goods: VG13, price_fen: 380}\n"
    assert (await loaded(database, tmp_path, text)).differences[0].brand == "acme"
    await loaded(database, tmp_path, "brands:\n- {brand: other, name: x}\n")
    assert told(await loaded(database, tmp_path, text)) == [
        "goods, row 2, column brand: is missing: name it here, or with --brand for the whole book"
    ]


DEPENDANTS = """
brands:
- {brand: acme, name: 云岭}
units:
- {unit: SH1, kind: shop, name: 一号店}
- {unit: SH2, kind: castle, name: 二号店}
accounts:
- {login: zhang, name: 张, role: operator, unit: SH2, password: tiger-lily-2288}
signings:
- {signing: '1', title: 首年}
- {signing: '2', title: 次年, begins: someday}
- {signing: '3', title: 别家, brand: nobody}
products:
- {product: P1, name: 净水机, kind: purchase, price_fen: 100}
- {product: P2, name: 坏的, kind: purchase, price_fen: -1}
machines:
- {machine: VI1, name: 大堂, shop: SH1}
- {machine: VI2, name: 楼上, shop: SH2}
- {machine: VI3, name: 楼下}
device_profiles:
- {machine: VI1, product: P1}
- {machine: VI2, product: P1}
- {machine: VI3, product: P9}
members:
- {member: CU1, name: 安}
- {member: CU2, name: 坏, phone: not a phone, opening_fen: 500}
- {member: CU3, name: 由坏推荐, referrer: CU2}
- {member: CU4, name: 再推荐, referrer: CU3, opening_fen: 700}
member_wechats:
- {member: CU1, openid: an-openid}
- {member: CU2, openid: another}
device_bindings:
- {machine: VI1, member: CU1}
- {machine: VI1, member: CU2, standing: guest}
- {machine: VI2, member: CU1}
rentals:
- {rental: R1, product: P1, member: CU1, bought_days: 30, deposit_fen: 500}
- {rental: R2, product: P2, member: CU1, bought_days: 30, deposit_fen: 600}
- {rental: R3, product: P1, member: CU2, bought_days: 30, deposit_fen: 700}
- {rental: R4, product: P1, member: CU1, state: running, machine: VI2, began: 2026-01-01, deposit_fen: 800}
promotions:
- {promotion: PM1, kind: coupon, name: 券, off_fen: 100}
- {promotion: PM2, kind: coupon, name: 坏券}
coupons:
- {coupon: CP1, promotion: PM1, member: CU1}
- {coupon: CP2, promotion: PM2, member: CU1}
- {coupon: CP3, promotion: PM1, member: CU4}
advertisements:
- {advertisement: AD1, title: 全部, placement: home}
- {advertisement: AD2, title: 楼上, placement: home, machine: VI2}
"""
REFUSED = [
    "accounts, row 8, column unit: 'SH2': there is no 'SH2' in units, its line was refused",
    "advertisements, row 50, column machine: 'VI2': there is no 'VI2' in machines, its line was refused",
    "coupons, row 46, column promotion: 'PM2': there is no 'PM2' in promotions, its line was refused",
    "coupons, row 47, column member: 'CU4': there is no 'CU4' in members, its line was refused",
    "device_bindings, row 34, column member: 'CU2': there is no 'CU2' in members, its line was refused",
    "device_bindings, row 35, column machine: 'VI2': there is no 'VI2' in machines, its line was refused",
    "device_profiles, row 22, column machine: 'VI2': there is no 'VI2' in machines, its line was refused",
    "device_profiles, row 23, column product: 'P9': there is no 'P9' in products",
    "machines, row 18, column shop: 'SH2': there is no 'SH2' in units, its line was refused",
    "member_wechats, row 31, column member: 'CU2': there is no 'CU2' in members, its line was refused",
    "members, row 26, column phone: 'not a phone': expected str matching regex",
    "members, row 27, column referrer: 'CU2': there is no 'CU2' in members, its line was refused",
    "members, row 28, column referrer: 'CU3': there is no 'CU3' in members, its line was refused",
    "products, row 15, column price_fen: '-1': expected int >= 0",
    "promotions, row 43, column",
    "rentals, row 38, column product: 'P2': there is no 'P2' in products, its line was refused",
    "rentals, row 39, column member: 'CU2': there is no 'CU2' in members, its line was refused",
    "rentals, row 40, column machine: 'VI2': there is no 'VI2' in machines, its line was refused",
    "signings, row 11, column begins: 'someday': is no moment",
    "signings, row 12, column brand: 'nobody': is no brand we know",
    "units, row 6, column kind: 'castle': invalid enum value",
]


async def test_what_hangs_on_a_bad_line_is_refused_with_it_and_the_rest_is_kept(
    database: Database, tmp_path: Path
) -> None:
    outcome = await loaded(database, tmp_path, DEPENDANTS, keep_good=True)
    problems = sorted(told(outcome))
    for problem, expected in zip(problems, REFUSED, strict=True):
        assert problem.startswith(expected), (problem, expected)
    assert outcome.written
    kept = {
        "units": ["SH1"], "users": [], "brand_signings": ["1"], "products": ["P1"], "machines": ["VI1", "VI3"],
        "machine_profiles": ["VI1"], "members": ["CU1"], "member_wechats": ["CU1"], "member_machines": ["VI1"],
        "rentals": ["R1"], "promotions": ["PM1"], "coupons": ["CP1"], "advertisements": ["AD1"],
    }  # fmt: skip
    async with database.look(tenant="acme") as work:
        for name, expected_ids in kept.items():
            table = metadata.tables[name]
            key = next(column for column in table.primary_key.columns if column.name != "tenant")
            assert [row[0] for row in await work.rows(select(key).order_by(key))] == expected_ids, name
        # No money of a refused line: one wallet, and the deposit of one rental.
        accounts = metadata.tables["ledger_accounts"].c
        rows = await work.rows(select(accounts.account, accounts.balance_fen).order_by(accounts.account))
        assert [tuple(row) for row in rows] == [("deposits:R1", 500), ("funding", -500), ("wallet:CU1", 0)]
        assert await ledger_drift(work, "acme") == 0
    # Mended, the same book brings what was missing and leaves alone what is there.
    mended = DEPENDANTS
    for bad, good in (
        ("kind: castle", "kind: shop"), ("price_fen: -1", "price_fen: 1"), ("not a phone", "'13900000002'"),
        ("someday", "2026-01-01"), (", brand: nobody", ""), ("name: 坏券", "name: 券, off_fen: 5"), ("P9", "P1"),
    ):  # fmt: skip
        mended = mended.replace(bad, good)
    outcome = await loaded(database, tmp_path, mended)
    assert (told(outcome), outcome.written) == ([], True)
    assert [counts.unchanged for noun, counts in outcome.counts.items() if noun == "rentals"] == [1]
    async with database.look(tenant="acme") as work:
        assert await ledger_drift(work, "acme") == 0


EQUIPPED = """
brands:
- {brand: acme, name: 云岭}
products:
- product: P1
  name: 净水机
  price_fen: 100
  specification:
    mode: vending
    cartridges: [{position: 1, name: PP 棉, timer_mode: both, lifetime_hours: 4320, worklife_hours: 540}]
    outlets: [{warmth: cold, name: 冰水, flow_ul_per_s: 30000}]
- {product: P2, name: 没有说明, price_fen: 100}
machines:
- {machine: VI1, name: 新的}
- {machine: VI2, name: 无说明}
- {machine: VI3, name: 自带配置, purifier: {outlets: [{warmth: hot, relay: 4}], plan: {plan: own, mode: sale}}}
device_profiles:
- {machine: VI1, product: P1}
- {machine: VI2, product: P2}
- {machine: VI3, product: P2}
"""


async def test_a_machine_becomes_what_its_product_says(database: Database, tmp_path: Path) -> None:
    """As one that is registered does, after the commit; one that comes with a configuration of its own keeps that."""

    async def purifiers() -> dict[str, PurifierConfig | None]:
        await make_due(database, {REFIT: refit_handler(CREDENTIALS)})
        async with database.look(tenant="acme") as work:
            return {machine: config.purifier for machine, config in (await current_configs(work, "acme", None)).items()}

    assert (await loaded(database, tmp_path, EQUIPPED)).written
    found = await purifiers()
    assert sorted(found) == ["VI1", "VI3"], "a product without a specification leaves its machine alone"
    new, own = found["VI1"], found["VI3"]
    assert new is not None
    assert own is not None
    assert [(outlet.warmth, outlet.nominal_ml_per_s) for outlet in new.outlets] == [("cold", 30)]
    assert ([filter_.name for filter_ in new.filters], new.plan.mode) == (["PP 棉"], "vending")
    assert (own.plan.plan, [outlet.warmth for outlet in own.outlets]) == ("own", ["hot"])
    assert not (await loaded(database, tmp_path, EQUIPPED)).differences
    async with database.look(tenant="acme") as work:
        assert not await work.rows(select(metadata.tables["outcalls"])), "the same book again asks for nothing"
    # Another product, and it is another machine.
    await loaded(database, tmp_path, EQUIPPED.replace("{machine: VI3, product: P2}", "{machine: VI3, product: P1}"))
    moved = (await purifiers())["VI3"]
    assert moved is not None
    assert [outlet.warmth for outlet in moved.outlets] == ["cold"]


HELD = """
brands:
- {brand: acme, name: 云岭}
products:
- {product: P1, name: 净水机, price_fen: 100}
machines:
- {machine: VI1, name: 大堂, until: 2026-02-01}
- {machine: VI2, name: 楼上}
members:
- {member: CU1, name: '', until: 2026-03-01}
- {member: CU2, name: 安}
rentals:
- {rental: R1, product: P1, member: CU1, machine: VI2, state: running, began: 2026-01-01, deposit_fen: 500}
- {rental: R2, product: P1, member: CU1, bought_days: 30}
- {rental: R3, product: P1, member: CU2, machine: VI1, state: overdue, began: 2026-01-01}
- {rental: R4, product: P1, member: CU1, machine: VI1, state: ended, began: 2026-01-01, until: 2026-02-01}
- {rental: R5, product: P1, member: CU2, machine: VI2, state: running, began: 2026-01-01}
"""


async def test_a_rental_is_held_by_somebody_who_is_there(database: Database, tmp_path: Path) -> None:
    outcome = await loaded(database, tmp_path, HELD, keep_good=True)
    assert told(outcome) == [
        "rentals, row 13, column member: 'CU1': has left, and a rental that is running is somebody's",
        "rentals, row 14, column member: 'CU1': has left, and a rental that is agreed is somebody's",
        "rentals, row 15, column machine: 'VI1': is out of service for good, and a rental that is overdue needs it",
    ]
    assert outcome.counts["rentals"].created == 2
    async with database.look(tenant="acme") as work:
        assert await ledger_drift(work, "acme") == 0
