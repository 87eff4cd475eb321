"""What the cloud is told from outside: read once, from the environment (`AISLEFLOW_*`) and the command line."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from cloud.errors import FleetError
from shared.seal import SECRET_BYTES

PREFIX = "AISLEFLOW_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings. Names are those of the variables without the prefix; secrets are named by file, never by value."""

    data: Path = Path("var")
    database_url: str = ""
    broker_host: str = "127.0.0.1"
    broker_port: int = 1883
    broker_tls: bool = False
    broker_ca_file: Path | None = None
    broker_user: str | None = None
    broker_password_file: Path | None = None
    # A mosquitto's password file for machines, kept by the API, and the pid of the broker that is to read it again.
    broker_machines_file: Path | None = None
    broker_pid_file: Path | None = None
    public_url: str = "http://127.0.0.1:8080"
    # Which dialect answers at the root of which host: "vending.example.cn=vending,iot.example.cn=iot".
    hosts: str = ""
    # Pages from which browsers may ask, beside our own: "https://h5.example.cn,https://m.example.cn", or "*" for any.
    origins: str = ""
    # How long an order may wait for its machine's claim: a dozen repeated offers, as long as a buyer will stand there.
    order_deadline_ms: int = 60_000
    # Write off claimed orders without an outcome after this time (I7); 0 leaves every one of them to a person.
    write_off_after_ms: int = 0
    # The most that may be written off per machine and day.
    write_off_cap_fen: int = 2_000
    # How long an ordered product waits for its money, how long after dispatch it counts as received, and how long it
    # can then still be sent back: a day, 15 days, a week, as in the large shops.
    purchase_pay_ms: int = 24 * 3_600_000
    purchase_confirm_ms: int = 15 * 24 * 3_600_000
    purchase_finish_ms: int = 7 * 24 * 3_600_000
    # How long after the end of a rental somebody is sent to fetch the machine.
    rental_grace_ms: int = 7 * 24 * 3_600_000
    # Whether visitors without an account may look at products.
    shop_open: bool = True

    @property
    def url(self) -> str:
        """The database: the one that is named, or a file in the data folder."""
        return self.database_url or f"sqlite+aiosqlite:///{self.data / 'aisleflow.db'}"

    @property
    def dialect_of_host(self) -> dict[str, str]:
        """Dialects by host name; FleetError invalid when `hosts` is not a list of NAME=DIALECT."""
        pairs = [pair.strip().partition("=") for pair in self.hosts.split(",") if pair.strip()]
        for name, _, dialect in pairs:
            if not name or not dialect:
                raise FleetError("invalid", f"{self.hosts!r} is not HOST=DIALECT,...", field=PREFIX + "HOSTS")
        return {name.strip().lower(): dialect.strip() for name, _, dialect in pairs}

    @property
    def origin_list(self) -> list[str]:
        """The origins of pages that may ask, as browsers write them."""
        return [one.strip().rstrip("/").lower() for one in self.origins.split(",") if one.strip()]


def load(environ: Mapping[str, str] = os.environ, **given: Any) -> Settings:
    """Settings from the environment, overridden by those `given` that are not None.

    Raises FleetError(invalid) that names the variable, its value and what was expected.
    """
    known = {field.name: field.type for field in fields(Settings)}
    found = {
        name: _read(name, str(kind), environ[PREFIX + name.upper()])
        for name, kind in known.items()
        if PREFIX + name.upper() in environ
    }
    found.update({name: value for name, value in given.items() if value is not None})
    return replace(Settings(), **found)


def _read(name: str, kind: str, value: str) -> Any:
    variable = PREFIX + name.upper()
    if kind == "int":
        if not value.isdecimal():
            raise FleetError("invalid", f"{value!r} is not a whole number", field=variable)
        return int(value)
    if kind == "bool":
        if value not in ("0", "1", "true", "false"):
            raise FleetError("invalid", f"{value!r} is not one of 0, 1, true, false", field=variable)
        return value in ("1", "true")
    return Path(value) if kind.startswith("Path") else value


def server_secret(data: Path) -> bytes:
    """The secret from which all machine secrets derive: made at first start, readable by its owner only."""
    path = data / "server_secret"
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return _existing_secret(path)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secrets.token_hex(SECRET_BYTES))
        file.flush()
        os.fsync(file.fileno())
    return _existing_secret(path)


def _existing_secret(path: Path) -> bytes:
    if path.stat().st_mode & 0o077:
        raise FleetError("invalid", f"{path} can be read by others: chmod 600 it", field="server_secret")
    try:
        secret = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except ValueError:
        secret = b""
    if len(secret) != SECRET_BYTES:
        raise FleetError("invalid", f"{path} does not hold {SECRET_BYTES} bytes in hex", field="server_secret")
    return secret
