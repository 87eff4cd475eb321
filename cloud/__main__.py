"""`python -m cloud`: the cloud's processes and the few things that are done at its console."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from cloud import settings as settings_
from cloud.accounts.passwords import Passwords, pepper_of
from cloud.accounts.people import FIRST_LOGIN, FIRST_TENANT, reset_password
from cloud.database import Database
from cloud.errors import FleetError
from cloud.migrations import migrate
from cloud.processes import Process, Roles
from cloud.settings import Settings, server_secret

ROLES = {
    "all": Roles(api=True, ingest=True, downlink=True),
    "api": Roles(api=True),
    "ingest": Roles(ingest=True),
    "downlink": Roles(downlink=True),
}

# sysexits.h: a wrong setting is told from something that may work later.
EX_UNAVAILABLE = 69
EX_CONFIG = 78


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is 0, 2 for a wrong call, 69 for something missing, 78 for a wrong setting."""
    asked = _parser().parse_args(arguments)
    logging.basicConfig(
        stream=sys.stderr,
        level=asked.log_level.upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    # It says twice at every look that it has no database of its own to speak of.
    logging.getLogger("alembic.runtime.migration").setLevel(logging.WARNING)
    # What is written here is for the owner alone, whatever the umask was.
    os.umask(0o077)
    try:
        asyncio.run(_command(asked, _settings(asked)))
    except FleetError as error:
        print(f"python -m cloud {asked.command}: {error}", file=sys.stderr)
        return EX_UNAVAILABLE if error.kind in ("unavailable", "not_found") else EX_CONFIG
    except OSError as error:
        print(f"python -m cloud {asked.command}: {error}", file=sys.stderr)
        return EX_UNAVAILABLE
    return 0


async def _command(asked: argparse.Namespace, settings: Settings) -> None:
    if asked.command == "migrate":
        await migrate(settings.url)
        _say("the database is at this release's revision")
    elif asked.command == "admin-reset":
        await _reset(settings, asked.tenant, asked.login)
    else:
        if asked.command == "all":
            # Where there are several processes, none of them changes tables under the rest: there it is a command.
            await migrate(settings.url)
        await Process(settings, ROLES[asked.command]).run(host=asked.host, port=asked.port, say=_say)


async def _reset(settings: Settings, tenant: str, login: str) -> None:
    database = Database.open(settings.url)
    try:
        renewed = await reset_password(
            database, Passwords(pepper_of(server_secret(settings.data))), tenant=tenant, login=login
        )
    finally:
        await database.close()
    _say(f"New password: tenant={tenant} login={login} password={renewed.password}")
    _say("It is shown this once and must be changed at the next sign-in.")


def _say(line: str) -> None:
    print(line, flush=True)


def _settings(asked: argparse.Namespace) -> Settings:
    host, _, port = (asked.broker or "").rpartition(":")
    if asked.broker and not (host and port.isdecimal()):
        raise FleetError("invalid", f"{asked.broker!r} is not HOST:PORT", field="--broker")
    settings = settings_.load(
        data=asked.data,
        database_url=asked.database_url,
        broker_host=host or None,
        broker_port=int(port) if port else None,
        broker_user=asked.broker_user,
        broker_password_file=asked.broker_password_file,
        broker_machines_file=asked.broker_machines_file,
        broker_pid_file=asked.broker_pid_file,
    )
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    return settings


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m cloud",
        description="The AisleFlow cloud. Every option can also be given as AISLEFLOW_<NAME> in the environment.",
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--data", type=Path, metavar="FOLDER", help="data folder (default: ./var)")
    common.add_argument("--database-url", metavar="URL", help="default: SQLite in the data folder")
    common.add_argument("--broker", metavar="HOST:PORT", help="the MQTT broker (default: 127.0.0.1:1883)")
    common.add_argument("--broker-user", metavar="NAME", help="the cloud's own login at the broker")
    common.add_argument("--broker-password-file", type=Path, metavar="FILE", help="the password for it")
    common.add_argument(
        "--broker-machines-file", type=Path, metavar="FILE", help="mosquitto's password file, kept here"
    )
    common.add_argument("--broker-pid-file", type=Path, metavar="FILE", help="whom to tell when that file has changed")
    common.add_argument("--log-level", default="info", choices=["debug", "info", "warning", "error"])
    commands = parser.add_subparsers(dest="command", required=True)
    helps = {
        "all": "API, ingest and downlink in one process; migrates by itself",
        "api": "the HTTP API",
        "ingest": "settles what machines report",
        "downlink": "tells machines what they are asked",
    }
    for name, text in helps.items():
        command = commands.add_parser(name, parents=[common], help=text)
        command.add_argument("--host", default="127.0.0.1", help="address of the API (default: 127.0.0.1)")
        command.add_argument("--port", type=int, default=8080, help="port of the API (default: 8080; 0: any free one)")
    commands.add_parser("migrate", parents=[common], help="bring the database to this release's revision")
    reset = commands.add_parser("admin-reset", parents=[common], help="give a person a new one-time password")
    reset.add_argument("--tenant", default=FIRST_TENANT)
    reset.add_argument("--login", default=FIRST_LOGIN)
    return parser


if __name__ == "__main__":
    sys.exit(main())
