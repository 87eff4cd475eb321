"""Profile files: which there are, what one says, and whether it can be used.

Every finding reads `file:line: key: value: expected ...`, so that the author of a profile needs no other help.
"""

from __future__ import annotations

import re
import struct
import tomllib
from collections.abc import Iterator
from fractions import Fraction
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec
from msgspec import inspect

from edge_agent.devices.modbus_profile import REGISTERS_MAX, WORDS, Meter, Probes, Profile, Register, Write
from edge_agent.errors import SettingsWrong
from edge_agent.wire.modbus import READ_BITS, Read

# A profile has a few kB; a larger file is not one.
FILE_BYTES_MAX = 131_072

# What one request may ask for, by the Modbus specification.
BITS_MAX = 2_000


def shipped_profiles() -> dict[str, Path]:
    """The profiles that come with the agent, by name."""
    folder = Path(str(resources.files("edge_agent.devices") / "profiles"))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def load_profile(name_or_path: str) -> Profile:
    """A shipped profile by its name, or a file by its path. SettingsWrong says all that is wrong, line by line."""
    path = profile_path(name_or_path)
    profile, problems = _read(path)
    if profile is None or problems:
        raise SettingsWrong("\n".join(problems))
    return profile


def profile_path(name_or_path: str) -> Path:
    """The file that is meant; SettingsWrong when it is neither a shipped name nor a file."""
    shipped = shipped_profiles()
    if name_or_path in shipped:
        return shipped[name_or_path]
    path = Path(name_or_path)
    if not path.is_file():
        raise SettingsWrong(f"profile: {name_or_path!r}: expected a file, or one of {', '.join(shipped)}")
    return path


def check_profile(path: Path) -> list[str]:
    """All that is wrong with a file, `file:line: key: value: expected ...` each; empty when it can be used."""
    return _read(path)[1]


def _read(path: Path) -> tuple[Profile | None, list[str]]:
    try:
        raw = path.read_bytes()
    except OSError as error:
        return None, [f"{path}: {error.strerror}"]
    if len(raw) > FILE_BYTES_MAX:
        return None, [f"{path}: {len(raw)} bytes: expected a profile, at most {FILE_BYTES_MAX} bytes"]
    try:
        text = raw.decode("utf-8")
        tree = tomllib.loads(text)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        where = re.search(r"line (\d+)", str(error))
        return None, [f"{path}:{where[1] if where else 1}: not TOML: {error}"]
    place = _Places(path, text, tree)
    try:
        profile = msgspec.convert(tree, Profile, str_keys=True)
    except msgspec.ValidationError as error:
        return None, [place.explain(str(error))]
    return profile, [place.tell(where, expected) for where, expected in _problems(profile)]


# --- what no single value shows ---

Where = tuple[str | int, ...]


def _problems(profile: Profile) -> Iterator[tuple[Where, str]]:
    names = [register.name for register in profile.register]
    for at, register in enumerate(profile.register):
        yield from ((("register", at, *where), expected) for where, expected in _register_problems(profile, register))
        if register.name in names[:at]:
            yield ("register", at, "name"), "a name that no other register has"
    for at, fence in enumerate(profile.fence):
        yield from _range_problems(profile, ("fence", at), fence.function, fence.address, fence.count)
    yield from _fence_problems(profile)
    if profile.meter is not None:
        yield from _meter_problems(profile, profile.meter)
    if profile.relays is not None and profile.relays.coils + profile.relays.count > 65_536:
        yield ("relays", "coils"), "addresses below 65536"
    if profile.own is not None and (profile.own.baud is None) != (not profile.own.bauds):
        yield ("own",), "baud and bauds, or neither"
    for quantity in Probes.__struct_fields__:
        name = getattr(profile.probes, quantity)
        if name is not None and name not in names:
            yield ("probes", quantity), "the name of a register"


def _register_problems(profile: Profile, register: Register) -> Iterator[tuple[Where, str]]:
    yield from _range_problems(profile, (), register.function, register.address, register.length)
    of_bits = register.function in READ_BITS
    if of_bits != (register.type == "bits") and (of_bits or register.type != "bits"):
        yield ("type",), "bits, because functions 1 and 2 read bits"
    if (register.type == "ascii" or of_bits) and register.count is None:
        yield (), "count, how many registers of text or bits it has"
    if register.count is not None and register.type in WORDS:
        yield ("count",), f"nothing, {register.type} has {WORDS[register.type]} registers"
    if Fraction(register.scale) == 0:
        yield ("scale",), "anything but 0"
    if register.valid is not None and Fraction(register.valid[0]) > Fraction(register.valid[1]):
        yield ("valid",), "the least before the most"
    for key in ("decimals_from", "unit_from"):
        name = getattr(register, key)
        other = next((each for each in profile.register if each.name == name), None)
        if name is not None and (other is None or other.type != "u16" or other.poll != register.poll):
            yield (key,), f"the name of a u16 register with poll = {register.poll!r}, so that both are read together"
        elif key == "unit_from" and other is not None and not other.labels:
            yield (key,), f"a register with labels, {name} has none"
    if register.write is not None:
        yield from _write_problems(register, register.write)


def _write_problems(register: Register, write: Write) -> Iterator[tuple[Where, str]]:
    if register.function != 3:
        yield ("write",), "function = 3 beside it: only holding registers are written"
    if register.type in ("bits", "ascii"):
        yield ("write",), "a register that holds a number"
    if write.function == 6 and register.length != 1:
        yield ("write", "function"), f"16, because {register.type} has {register.length} registers"
    if Fraction(write.least) > Fraction(write.most):
        yield ("write", "least"), f"at most {write.most}"
        return
    for key, limit in (("least", write.least), ("most", write.most)):
        try:
            register.encode(Fraction(limit) / Fraction(register.scale or 1))
        except (ValueError, ZeroDivisionError, OverflowError, struct.error):
            yield ("write", key), f"a value that {register.type} with scale {register.scale} can hold"


def _range_problems(
    profile: Profile, where: Where, function: int, address: int, count: int
) -> Iterator[tuple[Where, str]]:
    most = BITS_MAX if function in READ_BITS else REGISTERS_MAX
    if count > most:
        yield (*where, "count"), f"at most {most}, one request reads no more"
    if not 0 <= address - profile.address_base <= 65_536 - count:
        yield (*where, "address"), f"{profile.address_base} to {65_536 + profile.address_base - count}"


def _fence_problems(profile: Profile) -> Iterator[tuple[Where, str]]:
    """No answer to a fence may look like the answer to another read."""
    reads = [
        read
        for poll in ("fast", "slow", "once")
        for read, _ in profile.reads(register for register in profile.register if register.poll == poll)
    ]
    if profile.relays is not None:
        reads.append(Read(1, profile.relays.coils, profile.relays.count))
    others = {(read.function, read.answer_bytes): read for read in reads}
    for at, fence in enumerate(profile.fences()):
        same = others.setdefault((fence.function, fence.answer_bytes), fence)
        if same is not fence:
            yield ("fence", at), f"another function or length than {same.name!r} has, so that their answers differ"


def _meter_problems(profile: Profile, meter: Meter) -> Iterator[tuple[Where, str]]:
    parts = []
    for key, kinds in (("whole", ("u16", "u32", "i32")), ("fraction", ("f32",))):
        name = getattr(meter, key)
        part = next((each for each in profile.register if each.name == name), None)
        if name is not None and (part is None or part.type not in kinds):
            yield ("meter", key), f"the name of a register of type {' or '.join(kinds)}"
        elif part is not None:
            parts.append(part)
    if len(profile.reads(parts)) > 1:
        yield ("meter", "fraction"), f"a register right behind or before {meter.whole}, so that one request reads both"
    if meter.modulus is None and meter.fraction is None and parts and parts[0].type != "i32":
        yield ("meter",), f"modulus, because {parts[0].type} begins again at 0"


# --- from a key to its line ---

_HEADER = re.compile(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"\s*([A-Za-z0-9_.\"'-]+?)\s*=")
_STEP = re.compile(r"\.([A-Za-z_]\w*)|\[(\d+)\]")


class _Places:
    """Which line of a file says what. tomllib does not tell, so headers and keys are looked up once more."""

    def __init__(self, path: Path, text: str, tree: dict[str, Any]) -> None:
        self._path = path
        self._tree = tree
        self._lines: dict[Where, int] = {}
        self._last: dict[Where, int] = {}  # of each list of tables, the index that is being written
        table: Where = ()
        for number, line in enumerate(text.splitlines(), 1):
            if header := _HEADER.match(line):
                table = self._opened(_unquoted(header[2]), one_more=header[1] == "[[")
                self._lines[table] = number
            elif key := _KEY.match(line):
                self._lines.setdefault((*table, *_unquoted(key[1])), number)

    def _opened(self, steps: list[str], *, one_more: bool) -> Where:
        """The place that a header means: in a list of tables it is the last one."""
        table: Where = ()
        for at, step in enumerate(steps, 1):
            table = (*table, step)
            if one_more and at == len(steps):
                self._last[table] = self._last.get(table, -1) + 1
            if table in self._last:
                table = (*table, self._last[table])
        return table

    def tell(self, where: Where, expected: str) -> str:
        """One finding. A key that is absent is told at the line of its table."""
        line = next((self._lines[where[:end]] for end in range(len(where), 0, -1) if where[:end] in self._lines), 1)
        key = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in where).lstrip(".")
        value = self._value(where)
        shown = "" if isinstance(value, dict | None) else f" {value!r}:"
        return f"{self._path}:{line}: {key or 'profile'}:{shown} expected {expected}"

    def explain(self, error: str) -> str:
        """A finding of msgspec: `Expected ... - at `$.register[1].address``."""
        complaint, _, at = error.partition(" - at `")
        where: Where = tuple(name or int(index) for name, index in _STEP.findall(at))
        if missing := re.search(r"missing required field `(\w+)`", complaint):
            return self.tell(where, f"the key {missing[1]!r}")
        if unknown := re.search(r"unknown field `([^`]+)`", complaint):
            known = ", ".join(field.name for field in getattr(_shape(where), "fields", ()))
            return self.tell((*where, unknown[1]), f"one of the keys {known}")
        shape = _shape(where)
        if isinstance(shape, inspect.LiteralType):
            return self.tell(where, f"one of {', '.join(map(str, shape.values))}")
        return self.tell(where, complaint.partition(", got")[0].removeprefix("Expected ").replace("`", ""))

    def _value(self, where: Where) -> Any:
        value: Any = self._tree
        for step in where:
            try:
                value = value[step]
            except (KeyError, IndexError, TypeError):
                return None
        return value


def _unquoted(dotted: str) -> list[str]:
    return [part.strip().strip("\"'") for part in dotted.split(".")]


def _shape(where: Where) -> inspect.Type:
    """The type of the format at a place."""
    shape: inspect.Type = inspect.type_info(Profile)
    for step in where:
        if isinstance(shape, inspect.UnionType):
            shape = next((each for each in shape.types if isinstance(each, inspect.StructType)), shape)
        if isinstance(shape, inspect.StructType):
            shape = next((field.type for field in shape.fields if field.name == step), shape)
        elif isinstance(shape, inspect.VarTupleType):
            shape = shape.item_type
    if isinstance(shape, inspect.Metadata):
        shape = shape.type
    return shape
