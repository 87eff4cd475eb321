"""TOML tables into frozen types, strictly: every key known, every type as annotated, and errors that name the place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from types import NoneType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")


class ScenarioWrong(Exception):
    """A file of the simulator cannot be used; names the file, the key, the value and what was expected."""


def expect(holds: bool, key: str, value: object, expected: str) -> None:
    """`ValueError` in the words of every error here, unless it holds."""
    if not holds:
        raise ValueError(f"{key} = {value!r}, expected {expected}")


def fill(cls: type[T], table: Mapping[str, Any], source: str, where: str) -> T:
    """Fill the frozen type `cls` from a TOML table: every key known, every type as annotated, nothing coerced."""
    hints = get_type_hints(cls)
    known = {f.name: f for f in fields(cls)}  # type: ignore[arg-type]  # every cls here is a dataclass
    for key in table:
        if key not in known:
            raise ScenarioWrong(f"{source}: unknown key {where}{key}, expected one of {', '.join(sorted(known))}")
    for key, one in known.items():
        if key not in table and one.default is MISSING and one.default_factory is MISSING:
            raise ScenarioWrong(f"{source}: {where}{key} is missing")
    values = {key: _value(hints[key], value, source, f"{where}{key}") for key, value in table.items()}
    try:
        return cls(**values)
    except ValueError as error:
        raise ScenarioWrong(f"{source}: {where}{error}") from error


def _value(hint: Any, value: Any, source: str, where: str) -> Any:
    if NoneType in get_args(hint):  # TOML has no null: a key that is there has the other type
        hint = next(one for one in get_args(hint) if one is not NoneType)
    origin, args = get_origin(hint), get_args(hint)
    if origin is tuple and isinstance(value, list):
        return tuple(_value(args[0], one, source, f"{where}[{number}]") for number, one in enumerate(value))
    if isinstance(hint, type) and hasattr(hint, "__dataclass_fields__") and isinstance(value, dict):
        return fill(hint, value, source, f"{where}.")
    if origin is Mapping and isinstance(value, dict):
        return {key: _value(args[1], one, source, f"{where}.{key}") for key, one in value.items()}
    allowed = args if origin is Literal else ()
    if value in allowed:
        return value
    for plain in (hint, *args) if not allowed else ():
        if type(value) is plain or (isinstance(plain, type) and issubclass(plain, Path) and isinstance(value, Path)):
            return value
        if plain is float and type(value) is int:
            return float(value)
    expected = ", ".join(map(repr, allowed)) if allowed else getattr(hint, "__name__", str(hint))
    raise ScenarioWrong(f"{source}: {where} = {value!r}, expected {expected}")
