"""`python -m cloud`: the cloud's processes and the few things that are done at its console."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from cloud import settings as settings_
from cloud.accounts.passwords import Passwords, pepper_of
from cloud.accounts.people import FIRST_LOGIN, FIRST_TENANT, reset_password
from cloud.accounts.vault import Vault
from cloud.database import Database
from cloud.errors import FleetError
from cloud.load.book import BadBook
from cloud.load.command import EX_DATAERR, dump_file, load_file
from cloud.load.dump import write_template
from cloud.load.schema import json_schema_text
from cloud.machines.credentials import Credentials
from cloud.migrations import is_current, migrate
from cloud.processes import Process, Roles
from cloud.restored import take_up
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
    """Run one command; the exit code is 0, or 2 for a wrong call, 65 a bad file, 69 what is missing, 78 a setting."""
    parser = _parser()
    asked = parser.parse_args(arguments)
    if asked.command == "load" and not asked.schema and asked.file is None:
        parser.error("load: FILE is missing")
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
        return asyncio.run(_command(asked, _settings(asked)))
    except BadBook as error:
        print(f"python -m cloud {asked.command}: {error}", file=sys.stderr)
        return EX_DATAERR
    except FleetError as error:
        print(f"python -m cloud {asked.command}: {error}", file=sys.stderr)
        return EX_UNAVAILABLE if error.kind in ("unavailable", "not_found") else EX_CONFIG
    except OSError as error:
        print(f"python -m cloud {asked.command}: {error}", file=sys.stderr)
        return EX_UNAVAILABLE


async def _command(asked: argparse.Namespace, settings: Settings) -> int:
    if asked.command == "load":
        return await _load(settings, asked)
    if asked.command == "dump":
        await _dump(settings, asked)
    elif asked.command == "migrate":
        await migrate(settings.url)
        _say("the database is at this release's revision")
    elif asked.command == "admin-reset":
        await _reset(settings, asked.tenant, asked.login)
    elif asked.command == "restored":
        await _restored(settings)
    else:
        if asked.command == "all":
            # Where there are several processes, none of them changes tables under the rest: there it is a command.
            await migrate(settings.url)
            if asked.load and (refused := await _load_first(settings, asked.load)):
                return refused
        await Process(settings, ROLES[asked.command]).run(host=asked.host, port=asked.port, say=_say)
    return 0


async def _load(settings: Settings, asked: argparse.Namespace) -> int:
    if asked.schema:
        _say(json_schema_text().rstrip())
        return 0
    if asked.template:
        write_template(asked.file)
        return 0
    async with _books(settings) as parts:
        return await load_file(
            *parts, asked.file, _say, keep_good=asked.keep_good, dry_run=asked.dry_run, brand=asked.brand
        )


async def _load_first(settings: Settings, file: Path) -> int:
    async with _books(settings) as parts:
        return await load_file(*parts, file, _say)


async def _dump(settings: Settings, asked: argparse.Namespace) -> None:
    async with _books(settings) as parts:
        await dump_file(*parts, asked.file, _say, brand=asked.brand, hashes=asked.hashes)


@asynccontextmanager
async def _books(settings: Settings) -> AsyncIterator[tuple[Database, Credentials, Passwords, Vault]]:
    """What loading and dumping need. FleetError unavailable when the database is not at this release's revision."""
    database = Database.open(settings.url)
    try:
        if not await is_current(database):
            raise FleetError("unavailable", "the database is not at this release's revision: run `migrate` first")
        secret = server_secret(settings.data)
        yield database, Credentials(secret), Passwords(pepper_of(secret)), Vault(secret)
    finally:
        await database.close()


async def _restored(settings: Settings) -> None:
    async with _books(settings) as (database, credentials, _, _):
        told = await database.transact(partial(take_up, credentials=credentials))
    _say(
        f"The database begins a new life: {told.machines} machine{'' if told.machines == 1 else 's'} of {told.tenants}"
        f" tenant{'' if told.tenants == 1 else 's'} will send again what it has forgotten, and get their configuration"
        " anew. Everybody signs in again. Start the services now."
    )


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
        if name == "all":
            command.add_argument("--load", type=Path, metavar="FILE", help="load this file first (see `load`)")
    load = commands.add_parser(
        "load",
        parents=[common],
        help="create and update brands, machines, goods, ... from a file  批量导入",
        description="Load a YAML or JSON file, an XLSX workbook, or a folder of CSV files; see docs/load.md. "
        "Loading it again changes nothing.  批量导入品牌、设备、货道、商品、会员等；重复导入不会改变任何数据。",
    )
    load.add_argument("file", type=Path, nargs="?", metavar="FILE", help="what to load  要导入的文件或文件夹")
    load.add_argument("--dry-run", action="store_true", help="show what would change, write nothing  只显示差异")
    load.add_argument(
        "--keep-good", action="store_true", help="leave out bad lines instead of refusing all  跳过错误行"
    )
    load.add_argument("--brand", metavar="BRAND", help="whose the lines are that name no brand  默认品牌")
    load.add_argument("--schema", action="store_true", help="print the JSON Schema of the format  输出格式说明")
    load.add_argument("--template", action="store_true", help="write an empty FILE to fill in  生成空白模板")
    dump = commands.add_parser(
        "dump",
        parents=[common],
        help="write what can be loaded to a file  批量导出",
        description="The opposite of `load`.",
    )
    dump.add_argument(
        "file",
        type=Path,
        nargs="?",
        metavar="FILE",
        help="NAME.yaml, NAME.json, NAME.xlsx, or NAME for a folder of CSV; without one, YAML here  导出文件",
    )
    dump.add_argument("--brand", metavar="BRAND", help="this brand alone  只导出一个品牌")
    dump.add_argument("--hashes", action="store_true", help="with the hashes of passwords  包含密码哈希")
    commands.add_parser("migrate", parents=[common], help="bring the database to this release's revision")
    commands.add_parser(
        "restored",
        parents=[common],
        help="after the database was put back from a backup, before the services start  从备份恢复后",
    )
    reset = commands.add_parser("admin-reset", parents=[common], help="give a person a new one-time password")
    reset.add_argument("--tenant", default=FIRST_TENANT)
    reset.add_argument("--login", default=FIRST_LOGIN)
    return parser


if __name__ == "__main__":
    sys.exit(main())
