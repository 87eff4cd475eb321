"""The agent's settings: one frozen tree read from one TOML file.

What belongs to this computer stands here: ports, paths, the broker, limits. What the business decides (goods, prices,
planogram) comes from the cloud. A key that is not known is an error, because a misspelt limit that is silently ignored
is a limit that does not exist.
"""

from __future__ import annotations

import difflib
import re
import stat
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from edge_agent.errors import SettingsWrong
from shared.ids import MachineId, MalformedId, parse_machine_id
from shared.mqtt import MqttAddress, MqttVersion, TlsFiles
from shared.seal import SECRET_BYTES, MachineKeys, derive_keys

# A settings file has a few kB; a larger one is not a settings file.
FILE_BYTES_MAX = 65_536

Port = Annotated[int, msgspec.Meta(ge=1, le=65_535)]
Board = Annotated[int, msgspec.Meta(ge=1, le=4)]
NotEmpty = Annotated[str, msgspec.Meta(min_length=1, max_length=400)]


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all tables of the file."""


class Uplink(_Table, frozen=True, kw_only=True):
    """The way to the cloud's MQTT broker."""

    host: NotEmpty
    # Holds the machine's secret as 64 hex digits, as the cloud showed it once when the machine was claimed.
    secret_file: Path
    port: Port = 8883
    tls: bool = True
    # PEM; without it the system's certificate authorities count.
    ca_file: Path | None = None
    # auto tries MQTT 5 first; a broker known to speak 3.1.1 only is reached some seconds sooner when named here.
    mqtt: Literal["auto", "5", "3.1.1"] = "auto"
    # Seconds of silence after which both sides check the line. Shorter finds a dead line sooner and costs bytes.
    keepalive_s: Annotated[int, msgspec.Meta(ge=10, le=1_800)] = 60
    # The pace after an outage. 50 clears a day of a busy machine in ten seconds; a large fleet may want less.
    facts_per_s: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 50

    @property
    def address(self) -> MqttAddress:
        """Where the broker listens."""
        return MqttAddress(self.host, self.port, TlsFiles(ca_file=self.ca_file) if self.tls else None)

    @property
    def version(self) -> MqttVersion | None:
        """The MQTT version to speak; None finds out."""
        versions: dict[str, MqttVersion | None] = {"auto": None, "5": 5, "3.1.1": 4}
        return versions[self.mqtt]


class Bus(_Table, frozen=True, kw_only=True):
    """One serial line and the driver boards on it."""

    # A device path, best one of /dev/serial/by-id/, or socket://host:port.
    url: NotEmpty
    boards: Annotated[tuple[Board, ...], msgspec.Meta(min_length=1, max_length=4)]
    baud: Literal[9600, 19200, 38400, 57600, 115200] = 38400
    protocol: NotEmpty = "adh815"
    dialect: Literal["815", "814e"] = "815"
    # How the board's own name must begin; another board on this line is refused before any motor turns.
    expect: str = "ADH815"
    # Quiet time between two requests. Slow boards want up to 150.
    min_gap_ms: Annotated[int, msgspec.Meta(ge=0, le=1_000)] = 20
    # How often an idle board is asked how it is.
    poll_ms: Annotated[int, msgspec.Meta(ge=20, le=60_000)] = 200


class ModbusDevice(_Table, frozen=True, kw_only=True):
    """One Modbus device of a purifier."""

    # What people call it; appears in messages and statistics.
    name: NotEmpty
    # A shipped profile by name, or the path of a .toml file.
    profile: NotEmpty
    slave: Annotated[int, msgspec.Meta(ge=1, le=247)]
    role: Literal["valve", "meter", "tds_in", "tds_out", "level", "pressure", "temperature"]


class Modbus(_Table, frozen=True, kw_only=True):
    """One serial line and the Modbus devices on it. The line of a [[bus]] is shared by giving the same url."""

    url: NotEmpty
    device: Annotated[tuple[ModbusDevice, ...], msgspec.Meta(min_length=1, max_length=32)]
    baud: Literal[1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200] = 9600
    parity: Literal["N", "E", "O"] = "N"
    # Quiet time between two requests; a slave that misses some is given more by itself. 4 ms are due at 9600 baud.
    min_gap_ms: Annotated[int, msgspec.Meta(ge=0, le=1_000)] = 5


class Door(_Table, frozen=True, kw_only=True):
    """The door switch: a file that holds 0 or 1, as GPIO drivers offer it."""

    value_file: Path
    open_value: Literal["0", "1"] = "1"
    poll_ms: Annotated[int, msgspec.Meta(ge=50, le=10_000)] = 500


class Socket(_Table, frozen=True, kw_only=True):
    """The local door for the front panel and the technician."""

    path: Path = Path("/run/aisleflow/agent.sock")
    # Members of this Unix group may talk to the agent, besides root and the agent's own user.
    group: NotEmpty | None = None


class Limits(_Table, frozen=True, kw_only=True):
    """Limits that depend on this computer."""

    # Disk space kept free for the outcomes of what has begun; below it nothing new begins.
    reserve_mb: Annotated[int, msgspec.Meta(ge=1, le=4_096)] = 64
    # A grant older than this never starts a motor; more than ten seconds is not allowed by the vend protocol.
    grant_wait_ms: Annotated[int, msgspec.Meta(ge=1_000, le=10_000)] = 10_000
    # How long a started motor may take to report a result.
    turn_timeout_ms: Annotated[int, msgspec.Meta(ge=1_000, le=60_000)] = 15_000


class Log(_Table, frozen=True, kw_only=True):
    """What is logged and how; the destination is always standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"


class Settings(_Table, frozen=True, kw_only=True):
    """The whole file. Relative paths count from the folder of the file."""

    machine: str
    uplink: Uplink
    # Driver boards; a purifier may do without.
    bus: Annotated[tuple[Bus, ...], msgspec.Meta(max_length=8)] = ()
    modbus: Annotated[tuple[Modbus, ...], msgspec.Meta(max_length=8)] = ()
    data_dir: Path = Path("/var/lib/aisleflow")
    door: Door | None = None
    socket: Socket = msgspec.field(default_factory=Socket)
    limits: Limits = msgspec.field(default_factory=Limits)
    log: Log = msgspec.field(default_factory=Log)

    @property
    def machine_id(self) -> MachineId:
        """The machine's id, checked by `load`."""
        return MachineId(self.machine)


def load(path: Path) -> Settings:
    """Read and check a settings file; `SettingsWrong` names the file, the key, the value and what was expected."""
    tree = _read_toml(path)
    _refuse_unknown_keys(path, tree)

    def decode_path(kind: type, value: object) -> Path:
        if kind is not Path or not isinstance(value, str) or not value:
            raise TypeError(f"Expected a path, got {value!r}")
        return path.parent / value

    for device in _tables_at(tree, "modbus.device"):
        if str(device.get("profile")).endswith(".toml"):
            device["profile"] = str(path.parent / str(device["profile"]))
    try:
        settings = msgspec.convert(tree, Settings, dec_hook=decode_path)
    except msgspec.ValidationError as error:
        raise SettingsWrong(_explain(path, tree, str(error))) from error
    _check_together(path, settings)
    return settings


def read_keys(settings: Settings) -> MachineKeys:
    """Derive the machine's keys from its secret file; `SettingsWrong` when others can read it or it is no secret."""
    path = settings.uplink.secret_file
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        text = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsWrong(f"{path}: the machine's secret cannot be read: {_reason(error)}") from error
    if mode & 0o077:
        raise SettingsWrong(f"{path}: mode {mode:04o} lets others read the secret, expected 0600: chmod 600 {path}")
    if re.fullmatch(rf"[0-9a-fA-F]{{{2 * SECRET_BYTES}}}", text) is None:
        raise SettingsWrong(
            f"{path}: expected {2 * SECRET_BYTES} hex digits, found {len(text)} characters of another kind"
        )
    return derive_keys(bytes.fromhex(text))


def describe(settings: Settings) -> str:
    """Every setting in effect, defaults included, one `key = value` per line; secrets stay in their file."""
    return "\n".join(f"{key} = {value}" for key, value in _flatten("", settings))


def _flatten(prefix: str, value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from _flatten(f"{prefix}.{name}" if prefix else name, getattr(value, name))
    elif isinstance(value, tuple) and value and isinstance(value[0], msgspec.Struct):
        for index, item in enumerate(value):
            yield from _flatten(f"{prefix}[{index}]", item)
    else:
        hidden = prefix.endswith("secret_file")
        yield prefix, f"{value} (content hidden)" if hidden else value


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            raw = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise SettingsWrong(f"{path}: {_reason(error)}") from error
    if len(raw) > FILE_BYTES_MAX:
        raise SettingsWrong(f"{path}: larger than {FILE_BYTES_MAX} bytes, that is not a settings file")
    try:
        return tomllib.loads(raw.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsWrong(f"{path}: not TOML: {error}") from error


# The tables of the file by their key; `bus` is a list of tables.
_TABLES: dict[str, type[_Table]] = {
    "": Settings,
    "uplink": Uplink,
    "bus": Bus,
    "modbus": Modbus,
    "modbus.device": ModbusDevice,
    "door": Door,
    "socket": Socket,
    "limits": Limits,
    "log": Log,
}


def _refuse_unknown_keys(path: Path, tree: dict[str, Any]) -> None:
    for table, shape in _TABLES.items():
        for keys in _tables_at(tree, table):
            for key in keys:
                if key not in shape.__struct_fields__:
                    full = f"{table}.{key}" if table else key
                    raise SettingsWrong(f"{path}: unknown key {full}{_nearest(key, table)}")


def _tables_at(tree: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """All tables of that name, "" for the file itself; a list of tables may hold lists of tables."""
    tables = [tree]
    for step in name.split(".") if name else ():
        found = [table[step] for table in tables if step in table]
        tables = [
            table for item in found for table in (item if isinstance(item, list) else [item]) if isinstance(table, dict)
        ]
    return tables


def _nearest(key: str, table: str) -> str:
    """A hint: the key of this table that is spelt most alike, or the same key where it belongs."""
    near = difflib.get_close_matches(key, _TABLES[table].__struct_fields__, n=1)
    if near:
        return f", did you mean {table + '.' if table else ''}{near[0]}?"
    homes = [f"{other}.{key}" if other else key for other in _TABLES if key in _TABLES[other].__struct_fields__]
    if homes:
        return f", did you mean {homes[0]}?"
    return f"; known here: {', '.join(_TABLES[table].__struct_fields__)}"


def _explain(path: Path, tree: dict[str, Any], error: str) -> str:
    """msgspec says `Expected ... - at `$.uplink.port``: turn it into key, value, expectation."""
    expected, _, where = error.partition(" - at `$")
    steps = re.findall(r"\.([A-Za-z_]\w*)|\[(\d+)\]", where)
    value: Any = tree
    for name, index in steps:
        try:
            value = value[name] if name else value[int(index)]
        except (KeyError, IndexError, TypeError):
            value = None
            break
    key = where.rstrip("`").lstrip(".") or "the file"
    if "missing required field" in expected:
        return f"{path}: {key}: {expected[0].lower()}{expected[1:]}"
    return f"{path}: {key} = {value!r}: {expected[0].lower()}{expected[1:]}"


def _check_together(path: Path, settings: Settings) -> None:
    """What no single value shows."""
    try:
        parse_machine_id(settings.machine)
    except MalformedId as error:
        raise SettingsWrong(f"{path}: {error}") from error
    uplink = settings.uplink
    if not uplink.tls and uplink.host not in ("127.0.0.1", "::1", "localhost"):
        raise SettingsWrong(
            f"{path}: uplink.tls = false: without TLS the password crosses the network in the clear; "
            f"expected true for {uplink.host!r}, false only for a broker on this computer"
        )
    if not uplink.tls and uplink.ca_file is not None:
        raise SettingsWrong(f"{path}: uplink.ca_file = {str(uplink.ca_file)!r}: has no use while uplink.tls is false")
    if re.fullmatch(r"[0-9a-fA-F]{32,}", uplink.secret_file.name):
        raise SettingsWrong(f"{path}: uplink.secret_file: holds the secret itself, expected the path of a file with it")
    if not settings.bus and not settings.modbus:
        raise SettingsWrong(
            f"{path}: expected a [[bus]] with driver boards or a [[modbus]] with the devices of a purifier"
        )
    boards = [board for bus in settings.bus for board in bus.boards]
    for board in boards:
        if boards.count(board) > 1:
            raise SettingsWrong(
                f"{path}: bus.boards: board {board} appears twice, a planogram could not tell them apart"
            )
    for table, urls in (("bus", [bus.url for bus in settings.bus]), ("modbus", [line.url for line in settings.modbus])):
        for url in urls:
            if urls.count(url) > 1:
                raise SettingsWrong(f"{path}: {table}.url = {url!r}: two buses on one port, a port has one owner")
    _check_modbus(path, settings)


def _check_modbus(path: Path, settings: Settings) -> None:
    """Devices that must not be mistaken for each other, and lines that boards share."""
    devices = [(line, device) for line in settings.modbus for device in line.device]
    for key in ("name", "role"):
        values = [getattr(device, key) for _, device in devices]
        for value in values:
            if values.count(value) > 1:
                raise SettingsWrong(f"{path}: modbus.device.{key} = {value!r}: expected a {key} for one device alone")
    for line, device in devices:
        for other in line.device:
            # One device may play two parts: a probe that measures two things.
            if other.slave == device.slave and other.profile != device.profile:
                raise SettingsWrong(
                    f"{path}: modbus.device.slave = {device.slave}: {device.name!r} and {other.name!r} would answer at "
                    f"the same time, expected an address for each device of a line"
                )
    for line in settings.modbus:
        shared = next((bus for bus in settings.bus if bus.url == line.url), None)
        if shared is not None:
            _check_shared(path, shared, line)


def _check_shared(path: Path, bus: Bus, line: Modbus) -> None:
    """Boards and Modbus devices on one line have one speed, and no address twice."""
    if (line.baud, line.parity) != (bus.baud, "N"):
        raise SettingsWrong(
            f"{path}: modbus.baud = {line.baud}, parity {line.parity}: {line.url!r} is shared with driver boards, "
            f"expected {bus.baud} and N as in [[bus]]"
        )
    for device in line.device:
        if device.slave in bus.boards:
            raise SettingsWrong(
                f"{path}: modbus.device.slave = {device.slave}: board {device.slave} is on the same line, expected an "
                f"address that is not among {', '.join(map(str, bus.boards))}"
            )
