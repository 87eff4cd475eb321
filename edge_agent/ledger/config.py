"""The configuration that the cloud decided: signed, versioned, and the last good one kept (I14).

It lives in the ledger's file, so a new version is there whole or not at all.
"""

from __future__ import annotations

import hashlib
import sqlite3

import msgspec

from edge_agent.errors import Refused
from shared.ids import MachineId
from shared.messages import MachineConfig, config_problems
from shared.seal import seal_config, seals_match

# Enough to fall back when the newest turns out damaged; documents may have 200 kB.
VERSIONS_KEPT = 3

_decoder = msgspec.json.Decoder(MachineConfig)


def check_config(
    document: bytes, mac: str, version: int, machine: MachineId, key: bytes, current_version: int
) -> MachineConfig:
    """Read a configuration that the machine may act on. Pure.

    Raises `Refused` with the reason "config_seal", "config_version", "config_shape", "config_machine" or
    "config_content"; the detail names the field. The seal is checked before anything of the document is read.
    """
    if not seals_match(seal_config(key, machine, version, document), mac):
        raise Refused(
            "config_seal", f"configuration {version}: the seal does not fit; it was not made for this machine"
        )
    if version <= current_version:
        raise Refused("config_version", f"configuration {version}: not above {current_version}, which is in use")
    try:
        config = _decoder.decode(document)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Refused("config_shape", f"configuration {version}: {error}") from error
    if config.version != version:
        raise Refused("config_version", f"configuration {version}: the document says version {config.version}")
    if config.machine != machine:
        raise Refused("config_machine", f"configuration {version}: made for {config.machine!r}, this is {machine!r}")
    if problems := config_problems(config):
        raise Refused("config_content", f"configuration {version}: {'; '.join(problems)}")
    return config


def store(conn: sqlite3.Connection, version: int, document: bytes, mac: str) -> None:
    """Keep a checked configuration as the newest, and forget all but the last few.

    A row of the same version is one that no longer passes its checks: the machine was claimed again, and its seal with
    the former secret is worth nothing.
    """
    conn.execute(
        "INSERT OR REPLACE INTO configs (version, document, mac, hash) VALUES (?, ?, ?, ?)",
        (version, document, mac, hashlib.sha256(document).hexdigest()),
    )
    conn.execute(
        "DELETE FROM configs WHERE version NOT IN (SELECT version FROM configs ORDER BY version DESC LIMIT ?)",
        (VERSIONS_KEPT,),
    )


def last_known_good(conn: sqlite3.Connection, machine: MachineId, key: bytes) -> MachineConfig | None:
    """The newest stored configuration that still passes every check; None when there is none."""
    for version, document, mac in conn.execute("SELECT version, document, mac FROM configs ORDER BY version DESC"):
        try:
            return check_config(document, mac, version, machine, key, current_version=0)
        except Refused:
            continue  # a damaged or foreign row; the one before it is still better than none
    return None
