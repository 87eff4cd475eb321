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

# As everywhere; and not followed by a line break, which `$` would overlook.
Id = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,47}$(?!\n)")]
# What survives every format: XML has no control characters, and its readers turn \r\n into \n.
PRINTABLE = "^[^\\x00-\\x08\\x0b-\\x1f\\x7f\\ufffe\\uffff]*$"
Text = Annotated[str, Meta(max_length=500, pattern=PRINTABLE)]
Name = Annotated[str, Meta(min_length=1, max_length=100, pattern=PRINTABLE)]
Phone = Annotated[str, Meta(max_length=32, pattern=r"^\+?[0-9 -]*$(?!\n)")]
# One million yuan: more than any single price or balance; a slip of the keyboard ends here.
Fen = Annotated[int, Meta(ge=0, le=100_000_000)]
# A number that somebody else gave a meaning: a kind, a place in a list, points.
Small = Annotated[int, Meta(ge=0, le=1_000_000_000)]

# Ids in one cell stand apart by these.
_BETWEEN_IDS = re.compile(r"[\s,;，；、]+")
_YES = {"是": True, "yes": True, "y": True, "否": False, "no": False, "n": False}


class Row(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all shapes: whose line it is."""

    brand: Annotated[
        Id, Meta(title="品牌", description="The brand (tenant) it belongs to; may be left out when there is only one.")
    ]


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
        self.is_required = field.required
        self.default = None if field.required else field.default
        kinds = kind.types if isinstance(kind, msgspec.inspect.UnionType) else (kind,)
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
        if self.is_ids:
            return [part for part in _BETWEEN_IDS.split(value) if part]
        if self.is_nested:
            try:
                return msgspec.json.decode(value)
            except msgspec.DecodeError:
                return value
        return value

    def value(self, value: Any) -> Any:
        """The value as plain JSON."""
        return msgspec.to_builtins(value) if self.is_nested or self.is_ids else value

    def cell(self, value: Any) -> Any:
        """The value as a table's cell: text, a whole number, True or False; None for an empty one."""
        if value is None or value == "":
            return None
        if self.is_ids:
            return " ".join(value) or None
        return msgspec.json.encode(value).decode() if self.is_nested else value


class Columns(Generic[R]):
    """All columns of a shape, and how a line's cells become values."""

    def __init__(self, shape: type[R]) -> None:
        info = msgspec.inspect.type_info(shape)
        assert isinstance(info, msgspec.inspect.StructType)
        self.shape = shape
        self.all = tuple(Column(field) for field in info.fields)
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
                yield name, shown, "is missing" if value is None else _sentence(str(error), name)


class Refused(Exception):
    """A line's cells that cannot be meant: (column, value, reason)."""

    def __init__(self, objections: list[tuple[str, Any, str]]) -> None:
        super().__init__(objections)
        self.objections = objections


def _bare(kind: msgspec.inspect.Type) -> tuple[msgspec.inspect.Type, dict[str, Any]]:
    """A type without its wrappings, and what they said."""
    extra: dict[str, Any] = {}
    while isinstance(kind, msgspec.inspect.Metadata):
        extra.update(kind.extra_json_schema or {})
        kind = kind.type
    return kind, extra


def _sentence(error: str, column: str) -> str:
    """msgspec's complaint without the path to the column, which is told beside it."""
    text = error.replace("`", "").removesuffix(f" - at $.{column}").replace(f" - at $.{column}", " - at ")
    return text[:1].lower() + text[1:]
