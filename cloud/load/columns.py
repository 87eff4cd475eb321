"""The columns of a noun, taken from the shape of its lines: names, Chinese titles, types, defaults. Pure.

A shape is a frozen msgspec Struct. `title` is what a Chinese header may say instead of the name, `description` tells
people what the column holds; both go into the JSON Schema. A cell is typed leniently: tables have only text, and a
spreadsheet turns a phone number into a number.

An empty cell stands for the column's default, and for nothing in a secret's column. So a text column has '' or None
as its default, or does not allow ''.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Generic, TypeVar

import msgspec
from msgspec import Meta, Struct

from cloud.limits import FIGURE_MAX, FIGURE_MIN, LINK_CHARS_MAX, MOMENT_END_MS, NAME_CHARS_MAX, PHONE, TEXT_CHARS_MAX
from cloud.load.moments import moment_ms, moment_text

# As everywhere; and not followed by a line break, which `$` would overlook.
Id = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,47}$(?!\n)")]
# What a database keeps: PostgreSQL has no NUL. Every format writes the other control characters as escapes.
WRITABLE = "^[^\\x00]*$"
Text = Annotated[str, Meta(max_length=TEXT_CHARS_MAX, pattern=WRITABLE)]
Link = Annotated[str, Meta(max_length=LINK_CHARS_MAX, pattern=WRITABLE)]
Name = Annotated[str, Meta(min_length=1, max_length=NAME_CHARS_MAX, pattern=WRITABLE)]
Phone = Annotated[str, Meta(pattern=rf"{PHONE}(?!\n)")]
# In the file a moment is text (2026-11-29T10:44:50.123+08:00), behind it ms since 1970. A plain number is ms too.
Moment = Annotated[
    int, Meta(ge=0, lt=MOMENT_END_MS, extra_json_schema={"type": ["string", "integer"], "format": "date-time"})
]
# One million yuan: more than any single price or balance; a slip of the keyboard ends here.
Fen = Annotated[int, Meta(ge=0, le=100_000_000)]
# A sum of many: what a spreadsheet still keeps to the last of 15 digits.
Sum = Annotated[int, Meta(ge=0, lt=10**15)]
# A number that somebody else gave a meaning: a kind, a place in a list, points.
Figure = Annotated[int, Meta(ge=FIGURE_MIN, le=FIGURE_MAX)]
# Such a column is read for a new line only: what is there keeps what it came with, whatever a file says later.
FIRST = {"x-new-lines-only": True}

# Ids in one cell stand apart by these.
_BETWEEN_IDS = re.compile(r"[\s,;，；、]+")
_YES = {"是": True, "yes": True, "y": True, "否": False, "no": False, "n": False}


class Row(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all shapes: whose line it is."""

    brand: Annotated[
        Id, Meta(title="品牌", description="The brand (tenant) it belongs to; may be left out when there is only one.")
    ]


class Dated(Row, frozen=True, kw_only=True):
    """A line that says since when it is there."""

    since: Annotated[
        Moment | None,
        Meta(title="起始时间", description="When it came; empty: when it is loaded.", extra_json_schema=FIRST),
    ] = None


class Lasting(Dated, frozen=True, kw_only=True):
    """A line that says until when it was there: what has ended keeps its number, and nothing changes it any more."""

    until: Annotated[
        Moment | None,
        Meta(title="终止时间", description="When it ended, for good; empty: it is there.", extra_json_schema=FIRST),
    ] = None


R = TypeVar("R", bound=Row)


class Column:
    """One column: how its cells become values and values become cells."""

    def __init__(self, field: msgspec.inspect.Field) -> None:
        kind, extra = _bare(field.type)
        self.name = field.name
        self.title: str = extra.get("title", field.name)
        self.says: str = extra.get("description", "")
        # A password is not repeated in a complaint.
        self.is_secret: bool = extra.get("writeOnly", False)
        self.is_first: bool = extra.get("x-new-lines-only", False)
        self.is_required = field.required
        self.default = None if field.required else _default(field)
        parts = [_bare(one) for one in (kind.types if isinstance(kind, msgspec.inspect.UnionType) else (kind,))]
        kinds = [one for one, _ in parts]
        self.is_moment = any(said.get("format") == "date-time" for _, said in parts)
        self.is_text = any(isinstance(one, msgspec.inspect.StrType) for one in kinds)
        self.is_yes_or_no = any(isinstance(one, msgspec.inspect.BoolType) for one in kinds)
        self.is_ids = isinstance(kind, msgspec.inspect.VarTupleType) and isinstance(
            _bare(kind.item_type)[0], msgspec.inspect.StrType
        )
        plain = (
            msgspec.inspect.StrType,
            msgspec.inspect.IntType,
            msgspec.inspect.BoolType,
            msgspec.inspect.LiteralType,
            msgspec.inspect.NoneType,
        )
        self.is_nested = not self.is_ids and not all(isinstance(one, plain) for one in kinds)

    def loosened(self, value: Any) -> Any:
        """A cell's value, nearer to the column's type; what cannot be meant stays as it is and is refused by type."""
        if self.is_moment:
            return moment_ms(value)
        if self.is_text:
            if isinstance(value, float) and value.is_integer():
                return str(int(value))
            return str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        if self.is_ids and isinstance(value, list):
            return [str(part) if type(part) is int else part for part in value]
        if not isinstance(value, str):
            return value
        if self.is_yes_or_no:
            return _YES.get(value.lower(), value)
        if self.is_nested or (self.is_ids and value.startswith("[")):
            try:
                return msgspec.json.decode(value)
            except msgspec.DecodeError:
                pass
        return [part for part in _BETWEEN_IDS.split(value) if part] if self.is_ids else value

    def value(self, value: Any) -> Any:
        """The value as plain JSON."""
        if self.is_moment:
            return moment_text(value)
        return msgspec.to_builtins(value) if self.is_nested or self.is_ids else value

    def cell(self, value: Any) -> Any:
        """The value as a table's cell: text, a whole number, True or False; None for an empty one."""
        if value is None or value == "":
            return None
        if self.is_moment:
            return moment_text(value)
        if self.is_ids and all(one and _BETWEEN_IDS.split(one) == [one] and one[0] != "[" for one in value):
            return " ".join(value) or None
        return msgspec.json.encode(value).decode() if self.is_nested or self.is_ids else value


class Columns(Generic[R]):
    """All columns of a shape, and how a line's cells become values."""

    def __init__(self, shape: type[R]) -> None:
        info = msgspec.inspect.type_info(shape)
        assert isinstance(info, msgspec.inspect.StructType)
        self.shape = shape
        columns = [Column(field) for field in info.fields]
        # When it came and went is said last.
        self.all = tuple(sorted(columns, key=lambda column: column.name in ("since", "until")))
        self.by_name = {column.name: column for column in self.all}
        self._known = {name: c for c in self.all for name in (c.name, c.title)}
        self._needed = [c.name for c in self.all if c.is_required]
        # Every column may be missing: what is there already keeps its value.
        self._given = msgspec.defstruct(
            f"Given{shape.__name__}",
            [(f.name, f.type | msgspec.UnsetType, msgspec.UNSET) for f in msgspec.structs.fields(shape)],
            forbid_unknown_fields=True,
        )

    def named(self, header: str) -> str | None:
        """The column that a header means, by its name or its Chinese title; None for an unknown one."""
        found = self._known.get(header.strip()) or self._known.get(header.strip().lower())
        return None if found is None else found.name

    def values(self, cells: Mapping[str, Any]) -> dict[str, Any]:
        """The values of those columns that a line gives. Raises `Refused` with everything that is wrong with them."""
        loose = {name: self._loose(name, value) for name, value in cells.items()}
        try:
            given = msgspec.convert(loose, self._given, strict=False)
        except msgspec.ValidationError:
            raise Refused(list(self._objections(loose))) from None
        values = {name: getattr(given, name) for name in loose}
        # A secret that is not told is kept: who fills in a template leaves those cells empty.
        return {name: value for name, value in values.items() if value is not None or not self.by_name[name].is_secret}

    def missing(self, values: Mapping[str, Any]) -> list[str]:
        """What a new line lacks."""
        return [name for name in self._needed if values.get(name) is None]

    def _loose(self, name: str, value: Any) -> Any:
        column = self.by_name[name]
        return column.default if value is None or value == "" else column.loosened(value)

    def _objections(self, loose: Mapping[str, Any]) -> Iterable[tuple[str, Any, str]]:
        for name, value in loose.items():
            try:
                msgspec.convert({name: value}, self._given, strict=False)
            except msgspec.ValidationError as error:
                shown = None if self.by_name[name].is_secret else value
                yield name, shown, self._reason(name, value, str(error))

    def _reason(self, name: str, value: Any, error: str) -> str:
        if value is None:
            return "is missing"
        if self.by_name[name].is_moment and isinstance(value, str):
            return "is no moment such as 2026-11-29 or 2026-11-29T10:44:50+08:00"
        return _sentence(error, name)


class Refused(Exception):
    """A line's cells that cannot be meant: (column, value, reason)."""

    def __init__(self, objections: list[tuple[str, Any, str]]) -> None:
        super().__init__(objections)
        self.objections = objections


def _bare(kind: msgspec.inspect.Type) -> tuple[msgspec.inspect.Type, dict[str, Any]]:
    """A type without its wrappings, and what they said; the outer word counts."""
    extra: dict[str, Any] = {}
    while isinstance(kind, msgspec.inspect.Metadata):
        extra = (kind.extra_json_schema or {}) | extra
        kind = kind.type
    return kind, extra


def _default(field: msgspec.inspect.Field) -> Any:
    return field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()


def _sentence(error: str, column: str) -> str:
    """msgspec's complaint without the path to the column, which is told beside it."""
    text = error.replace("`", "").removesuffix(f" - at $.{column}").replace(f" - at $.{column}", " - at ")
    return text[:1].lower() + text[1:]
