"""A PostgreSQL server of the bench's own: a fresh cluster, on a free port, with every commit synced to disk."""

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import asyncpg

from firmware_sim.demo.broker import free_port
from firmware_sim.demo.processes import Failed, child, until

ADMIN = "postgres"
# The owner of the data is no superuser: a superuser is above row-level security, which costs time and must be counted.
OWNER = "fleet"
DATABASE = "fleet"
# Debian keeps one folder per major version.
DEBIAN = Path("/usr/lib/postgresql")


@dataclass(frozen=True, slots=True)
class Postgres:
    """A running server with one empty database."""

    port: int

    @property
    def url(self) -> str:
        """For SQLAlchemy."""
        return f"postgresql+asyncpg://{OWNER}@127.0.0.1:{self.port}/{DATABASE}"

    async def connect(self, user: str = OWNER, database: str = DATABASE) -> asyncpg.Connection:
        """A bare connection."""
        return await asyncpg.connect(host="127.0.0.1", port=self.port, user=user, database=database)


@asynccontextmanager
async def postgres() -> AsyncIterator[Postgres]:
    """Run a server until the block ends."""
    versions = sorted(DEBIAN.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not versions:
        raise Failed("PostgreSQL is not installed: apt-get install postgresql")
    binaries = versions[-1].parent
    with TemporaryDirectory(prefix="aisleflow-bench-postgres-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        as_nobody_special = _demotion(folder)
        initdb = [str(binaries / "initdb"), "-D", str(folder / "data"), "-U", ADMIN, "-A", "trust", "-E", "UTF8"]
        async with child("initdb", [*as_nobody_special, *initdb, "--locale", "C"], folder) as making:
            if await making.process.wait() != 0:
                raise Failed(f"initdb failed:\n{making.log.read_text(errors='replace')}")
        server = Postgres(free_port())
        options = [f"port={server.port}", "listen_addresses=127.0.0.1", f"unix_socket_directories={folder}"]
        command = [str(binaries / "postgres"), "-D", str(folder / "data")]
        for option in options:
            command += ["-c", option]
        async with child("postgres", [*as_nobody_special, *command], folder):
            ready = [str(binaries / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(server.port)]
            await until(lambda: subprocess.run(ready, check=False).returncode == 0, "PostgreSQL is ready")
            await _create(server)
            yield server


async def _create(server: Postgres) -> None:
    admin = await server.connect(ADMIN, "postgres")
    try:
        await admin.execute(f"CREATE ROLE {OWNER} LOGIN")
        await admin.execute(f"CREATE DATABASE {DATABASE} OWNER {OWNER}")
    finally:
        await admin.close()


def _demotion(folder: Path) -> list[str]:
    """The command prefix that makes root an ordinary user: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return []
    subprocess.run(["chown", ADMIN, str(folder)], check=True)
    return ["setpriv", "--reuid", ADMIN, "--regid", ADMIN, "--clear-groups", "--"]
