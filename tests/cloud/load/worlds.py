"""Worlds for property tests: lines of every noun, made from the nouns' own columns, that fit each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec.inspect import BoolType, IntType, LiteralType, Metadata, NoneType, StrType, Type, UnionType, VarTupleType

from cloud.load.columns import Row
from cloud.load.noun import Noun
from cloud.load.nouns import NOUNS
from cloud.products.model import NO_RENT, NO_TERMS, UNSPECIFIED, Cartridge, Period, Rent, Specification, Terms
from shared.water import Outlet, PurifierConfig, ServicePlan

BRANDS = ("acme", "Beta-2")
_IDS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,11}", fullmatch=True)
# What spreadsheets, YAML and careless readers take for something else.
_FORMULAS = ("=1+1", "'=1", "''x", "+86", "-", "@a", "＝ ", "\ta")
_SYNTAX = ("null", "~", "no", "true", "[x]", "{", "- a", "# a", "a: b", '"', "a,b;c", "_x0041_", "_x000D_")
_OTHERS = ("00012", "1e5", "2026-01-01", " a ", "a\nb", "\r\n", "\x01\x7f", "\uffff", "\u2028", "\u0085", "😀", "北京")
_TRAPS = st.sampled_from((*_FORMULAS, *_SYNTAX, *_OTHERS))

replace = msgspec.structs.replace

World = dict[str, list[Row]]


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """A world: {noun: its lines}, where every line could be loaded after those before it."""
    world: World = {}
    brands = BRANDS[: draw(st.integers(1, 2))]
    for noun in NOUNS:
        rows = world[noun.name] = []
        for brand in brands:
            for _ in range(1 if noun.name == "brands" else draw(st.integers(0, 3))):
                row = _row(draw, noun, brand, world)
                if row is not None:
                    row = _FINISH.get(noun.name, _as_it_is)(row, world)
                if row is not None and _fits(noun, row, rows):
                    rows.append(row)
    return world


def _row(draw: st.DrawFn, noun: Noun[Any], brand: str, world: World) -> Row | None:
    values: dict[str, Any] = {"brand": brand}
    shapes = {field.encode_name: field for field in msgspec.inspect.type_info(noun.shape).fields}  # type: ignore[union-attr]
    for column in noun.columns.all[1:]:
        if (noun.name, column.name) in _SPECIAL:
            values[column.name] = draw(_SPECIAL[noun.name, column.name])
        elif column.name in noun.references:
            target = next(one for one in NOUNS if one.name == noun.references[column.name])
            there = [
                target.key_of(row)[0]
                for row in world.get(target.name, [])
                if row.brand == brand and not (column.name in noun.living and getattr(row, "until", None) is not None)
            ]
            if not there and column.is_required:
                return None
            chosen = st.sampled_from(there) if there else st.just(column.default)
            if column.is_ids:
                chosen = st.lists(st.sampled_from(there), unique=True).map(sorted).map(tuple) if there else st.just(())
            values[column.name] = draw(chosen if column.is_required else chosen | st.just(column.default))
        else:
            values[column.name] = draw(_of(shapes[column.name].type))
    return noun.shape(**values)  # type: ignore[no-any-return]


def _of(kind: Type) -> st.SearchStrategy[Any]:
    match kind:
        case Metadata():
            return _of(kind.type)
        case UnionType():
            return st.one_of([_of(one) for one in kind.types])
        case NoneType():
            return st.none()
        case BoolType():
            return st.booleans()
        case IntType():
            most = kind.le if kind.le is not None else kind.lt - 1 if kind.lt is not None else 2**31
            return st.integers(kind.ge if kind.ge is not None else -(2**31), most)
        case LiteralType():
            return st.sampled_from(kind.values)
        case VarTupleType():
            return st.lists(_of(kind.item_type), max_size=3, unique=True).map(tuple)
        case StrType():
            return _text(kind)
    raise AssertionError(f"no strategy for {kind}")


def _text(kind: StrType) -> st.SearchStrategy[str]:
    pattern = (kind.pattern or "").replace("$(?!\\n)", "")
    if pattern.startswith("^[A-Za-z0-9][A-Za-z0-9_-]"):
        return _IDS
    if pattern.startswith("^[^"):
        writable = st.characters(exclude_categories=("Cs",), exclude_characters="\0")
        few = st.text(writable, min_size=kind.min_length or 0, max_size=min(kind.max_length or 12, 12))
        return few | _TRAPS
    assert pattern, "a text column says what it may hold"
    return st.from_regex(pattern, fullmatch=True).filter(lambda text: len(text) <= (kind.max_length or 10**6))


_PURIFIER = PurifierConfig(
    outlets=(Outlet(warmth="normal", relay=1, price_fen_per_litre=40, nominal_ml_per_s=90),),
    plan=ServicePlan(plan="p1", mode="vending"),
)

# JSON of others, with what JSON has.
_NOTES: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    ({}, {"a": [1, None, "x", {"b": True}], "中": -1.5e-7}, {"n": 12345678901234567890, "t": "12", "": ""})
)
_HASH = st.just("$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA")

_SPECIFICATION = Specification("timed", (Cartridge(1, "PP 棉", "working", 4_320, 540),), extra={"a": [1, None, "x"]})

_SPECIAL: dict[tuple[str, str], st.SearchStrategy[Any]] = {
    ("brands", "owner"): st.none() | st.just("owner-1"),
    ("brands", "mp_secret"): st.none(),
    ("brands", "mch_secret"): st.none(),
    ("brands", "options"): _NOTES,
    ("device_profiles", "installation"): _NOTES,
    ("promotions", "group_size"): st.integers(2, 100),
    # One way off, see `_finish_promotion`.
    ("promotions", "off_fen"): st.integers(1, 10**8),
    ("accounts", "password"): st.none(),
    ("accounts", "password_md5"): st.none(),
    ("accounts", "password_hash"): _HASH,
    ("accounts", "md5_hash"): st.none() | _HASH,
    ("members", "password_md5"): st.none(),
    ("members", "md5_hash"): st.none() | _HASH,
    ("machines", "shop"): st.none(),
    ("suppliers", "password"): st.none(),
    ("suppliers", "password_hash"): st.none() | _HASH,
    # No spaces: they stand between the pictures in a cell.
    ("products", "introduction"): st.lists(st.sampled_from(["a.png", "https://example.cn/b.png"]), unique=True).map(
        tuple
    ),
    ("products", "rent"): st.sampled_from(
        (NO_RENT, Rent(1_000, (Period("30d", "一月", 900), Period("500l", "水", 1)), 7))
    ),
    ("products", "commission"): st.sampled_from((NO_TERMS, Terms(True, "ratio", (1_000, 500, 100)))),
    ("products", "specification"): st.sampled_from((UNSPECIFIED, _SPECIFICATION)),
    ("units", "kind"): st.just("shop"),
    ("units", "parent"): st.none(),
    ("accounts", "user"): _IDS | st.just("owner-1"),
    ("machines", "purifier"): st.none() | st.just(_PURIFIER),
    ("machines", "temperature_low_tenths_c"): st.none() | st.integers(-400, 100),
    ("machines", "temperature_high_tenths_c"): st.none() | st.integers(101, 1200),
    ("aisles", "price_fen"): st.integers(0, 10**8),
    ("aisles", "name"): _TRAPS,
    ("aisles", "id"): st.none() | st.integers(1, 10**6).map("AI{}".format),
}


def _as_it_is(row: Any, _: World) -> Any:
    return row


def _finish_brand(row: Any, world: World) -> Any:
    """A code is one brand's."""
    return replace(row, code=None) if any(other.code == row.code for other in world["brands"]) else row  # type: ignore[attr-defined]


def _finish_signing(row: Any, _: World) -> Any:
    begins, ends = sorted((row.begins or 0, row.ends or 0))
    return replace(row, begins=begins or None, ends=ends or None)


def _finish_machine(row: Any, _: World) -> Any:
    """It is claimed with a secret."""
    return replace(row, credential_version=max(row.credential_version, 1 if row.claimed is not None else 0))


def _finish_device(row: Any, world: World) -> Any:
    """A purifier's service is what its configuration says."""
    machine = next(one for one in of_brand(world, "machines", row.brand) if one.machine == row.machine)
    if machine.purifier is None:
        return row
    plan = machine.purifier.plan
    return replace(row, mode=plan.mode, service_ends=plan.ends_wall_ms, stopped=row.stopped and machine.until is None)


def _finish_rental(row: Any, world: World) -> Any:
    """What is held is held by somebody who is there, and so is its machine."""
    left = {one.member for one in of_brand(world, "members", row.brand) if one.until is not None}
    retired = {one.machine for one in of_brand(world, "machines", row.brand) if one.until is not None}
    if row.state != "ended" and (row.member in left or row.machine in retired):
        return None
    withheld = min(row.withheld_fen, row.deposit_fen)
    ended = 1 if row.state == "ended" and row.until is None else row.until if row.state == "ended" else None
    row = replace(row, withheld_fen=withheld, until=ended)
    if row.state == "agreed":
        return replace(row, machine=None, began=None)
    if row.state == "ended":
        return row
    return None if row.machine is None else replace(row, began=row.began or 0)


def _finish_promotion(row: Any, _: World) -> Any:
    begins = row.begins or 0
    ends = None if row.ends is None or row.ends <= begins else row.ends
    total = max(row.total, row.issued) if row.total and row.issued < 10**7 else 0
    off = {"off_fen": 0} if row.off_share else {}
    return replace(row, begins=begins, ends=ends, total=total, created_by=row.created_by or "x", **off)


def _finish_advertisement(row: Any, _: World) -> Any:
    begins = row.begins or 0
    return replace(row, begins=begins, ends=None if row.ends is None or row.ends <= begins else row.ends)


_FINISH: dict[str, Callable[[Any, World], Any]] = {
    "brands": _finish_brand,
    "signings": _finish_signing,
    "machines": _finish_machine,
    "device_profiles": _finish_device,
    "rentals": _finish_rental,
    "promotions": _finish_promotion,
    "advertisements": _finish_advertisement,
}
# What belongs to one line of a noun; those of `_OVER_ALL` over all brands.
_ONCE: dict[str, tuple[str, ...]] = {
    "accounts": ("user",),
    "member_wechats": ("openid",),
    "members": ("sign_in_phone",),
    "coupons": ("purchase",),
    "aisles": ("id",),
}
_OVER_ALL: dict[str, tuple[str, ...]] = {"machines": ("machine",), "accounts": ("phone", "login")}


def of_brand(world: World, noun: str, brand: str) -> list[Any]:
    """The lines of one brand."""
    return [row for row in world[noun] if row.brand == brand]


def _fits(noun: Noun[Any], row: Any, all_rows: list[Any]) -> bool:
    """What no single column says: some values belong to one line of the whole noun."""
    others = [other for other in all_rows if other.brand == row.brand]
    if any(noun.key_of(other) == noun.key_of(row) for other in others):
        return False
    for column in _ONCE.get(noun.name, ()):
        if getattr(row, column) and any(getattr(other, column) == getattr(row, column) for other in others):
            return False
    for column in _OVER_ALL.get(noun.name, ()):
        if getattr(row, column) and any(getattr(other, column) == getattr(row, column) for other in all_rows):
            return False
    if noun.name == "categories":
        above = next((other.parent for other in others if other.category == row.parent), None)
        return above is None
    if noun.name == "houses":
        return all(_place(other) != _place(row) for other in others)
    if noun.name == "members":
        return bool(row.sign_in_phone) or row.md5_hash is None
    if noun.name == "aisles":
        place = (row.machine, row.board, row.motor)
        return all((other.machine, other.board, other.motor) != place for other in others)
    if noun.name == "device_bindings" and row.standing == "owner":
        return all((other.machine, other.standing) != (row.machine, "owner") for other in others)
    if noun.name == "rentals" and row.state != "ended" and row.machine is not None:
        return all(other.machine != row.machine or other.state == "ended" for other in others)
    return True


def _place(house: Any) -> tuple[str, ...]:
    return (house.community, house.building, house.unit, house.floor, house.room)
