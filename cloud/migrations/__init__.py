"""The database's history, one numbered revision after another, applied by Alembic.

Every revision runs in one transaction on both engines and is written for data that is there: none of them drops what
an older release could still read.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from pkgutil import iter_modules

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData

import cloud
from cloud.database import Database, metadata

_FOLDER = Path(__file__).parent


def whole_metadata() -> MetaData:
    """The tables of all nouns: every `store.py`, and the tables without a noun."""
    for module in iter_modules(cloud.__path__, "cloud."):
        if module.ispkg and find_spec(f"{module.name}.store"):
            import_module(f"{module.name}.store")
    import_module("cloud.events")
    import_module("cloud.downlink")
    import_module("cloud.outcalls")
    import_module("cloud.serials")
    return metadata


async def migrate(url: str) -> None:
    """Bring the database at `url` to the newest revision; running it again changes nothing."""
    database = Database.open(url)
    try:
        async with database.engine.begin() as connection:
            await connection.run_sync(_upgrade)
    finally:
        await database.close()


async def is_current(database: Database) -> bool:
    """Whether the database is at the revision that this release was written for."""
    async with database.look() as work:
        return await work.run_sync(_revision) == head()


def head() -> str:
    """The newest revision of this release."""
    newest = ScriptDirectory.from_config(_config()).get_current_head()
    assert newest is not None, "the release ships its revisions"
    return newest


def _upgrade(connection: Connection) -> None:
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_FOLDER))
    config.set_main_option("path_separator", "os")
    return config
