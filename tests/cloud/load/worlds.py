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
_OTHERS = ("00012", "1e5", "2026-01-01", " a ", "a\nb", "\u2028", "\u0085", "😀", "北京")
_TRAPS = st.sampled_from((*_FORMULAS, *_SYNTAX, *_OTHERS))

World = dict[str, list[Row]]


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """A world: {noun: its lines}, where every line could be loaded after those before it."""
    world: World = {}
    brands = BRANDS[: draw(st.integers(1, 2))]
    for noun in NOUNS:
        rows: dict[tuple[str, ...], Row] = {}
        for brand in brands:
            for _ in range(1 if noun.name == "brands" else draw(st.integers(0, 3))):
                row = _row(draw, noun, brand, world)
                if row is not None and _fits(noun, row, rows):
                    rows.setdefault((brand, *noun.key_of(row)), row)
        world[noun.name] = list(rows.values())
    return world


def _row(draw: st.DrawFn, noun: Noun[Any], brand: str, world: World) -> Row | None:
    values: dict[str, Any] = {"brand": brand}
    shapes = {field.encode_name: field for field in msgspec.inspect.type_info(noun.shape).fields}  # type: ignore[union-attr]
    for column in noun.columns.all[1:]:
        if (noun.name, column.name) in _SPECIAL:
            values[column.name] = draw(_SPECIAL[noun.name, column.name])
        elif column.name in noun.references:
            target = next(one for one in NOUNS if one.name == noun.references[column.name])
            there = [target.key_of(row)[0] for row in world.get(target.name, []) if row.brand == brand]
            if not there and column.is_required:
                return None
            chosen = st.sampled_from(there) if there else st.just(column.default)
            values[column.name] = draw(chosen if column.is_required else chosen | st.just(column.default))
        else:
            values[column.name] = draw(_of(shapes[column.name].type))
    return _FINISH.get(noun.name, lambda row: row)(noun.shape(**values))  # type: ignore[no-any-return]


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
            return st.integers(kind.ge if kind.ge is not None else -(2**31), min(kind.le or 2**31, 2**53))
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
        controls = [*map(chr, [*range(9), *range(11, 32), 127]), "\ufffe", "\uffff"]
        printable = st.characters(exclude_categories=("Cs",), exclude_characters=controls)
        few = st.text(printable, min_size=kind.min_length or 0, max_size=min(kind.max_length or 12, 12))
        return few | _TRAPS
    assert pattern, "a text column says what it may hold"
    return st.from_regex(pattern, fullmatch=True).filter(lambda text: len(text) <= (kind.max_length or 10**6))


_PURIFIER = PurifierConfig(
    outlets=(Outlet(warmth="normal", relay=1, price_fen_per_litre=40, nominal_ml_per_s=90),),
    plan=ServicePlan(plan="p1", mode="vending"),
)

_HASH = st.just("$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA")

_SPECIFICATION = Specification("timed", (Cartridge(1, "PP 棉", "working", 4_320, 540),), extra={"a": [1, None, "x"]})

_SPECIAL: dict[tuple[str, str], st.SearchStrategy[Any]] = {
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
    ("accounts", "user"): _IDS,
    ("machines", "purifier"): st.none() | st.just(_PURIFIER),
    ("machines", "temperature_low_tenths_c"): st.none() | st.integers(-400, 100),
    ("machines", "temperature_high_tenths_c"): st.none() | st.integers(101, 1200),
    ("aisles", "price_fen"): st.integers(0, 10**8),
    ("aisles", "name"): _TRAPS,
    ("aisles", "id"): st.none() | st.integers(1, 10**6).map("AI{}".format),
    ("goods", "archived"): st.just(False),
    ("goods", "categories"): st.just(()),
    ("goods", "pictures"): st.lists(st.sampled_from(["a.jpg", "图.png", "=1.png"]), max_size=2).map(tuple),
}
_FINISH: dict[str, Callable[[Any], Any]] = {}


def _fits(noun: Noun[Any], row: Any, rows: dict[tuple[str, ...], Any]) -> bool:
    """What no single column says: some values belong to one line of the whole noun."""
    others = rows.values()
    if noun.name == "machines":
        return all(other.machine != row.machine for other in others)
    if noun.name == "brands":
        return all(other.code != row.code or row.code is None for other in others)
    if noun.name == "accounts":
        ours = all(other.user != row.user or other.brand != row.brand for other in others)
        return ours and all(other.phone != row.phone or not row.phone for other in others)
    if noun.name == "houses":
        return all(_place(other) != _place(row) for other in others)
    if noun.name == "members":
        if not row.sign_in_phone:
            return row.md5_hash is None
        return all((other.brand, other.sign_in_phone) != (row.brand, row.sign_in_phone) for other in others)
    if noun.name == "aisles":
        place = (row.brand, row.machine, row.board, row.motor)
        if row.id is not None and any((other.brand, other.id) == (row.brand, row.id) for other in others):
            return False
        return all((other.brand, other.machine, other.board, other.motor) != place for other in others)
    return True


def _place(house: Any) -> tuple[str, ...]:
    return (house.brand, house.community, house.building, house.unit, house.floor, house.room)
