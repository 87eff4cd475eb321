"""`python -m bench.bare_list URL PORT`: the limit of `bench.lists`, a handler that does one query and nothing else."""

from __future__ import annotations

import sys
from typing import Any

import uvicorn
from fastapi import FastAPI
from sqlalchemy import select

from bench.estate import TENANT
from cloud.database import Database
from cloud.orders.store import orders
from cloud.processes import listen

PAGE = 50


def main() -> None:
    """Serve until killed."""
    database = Database.open(sys.argv[1])
    app = FastAPI()

    @app.get("/orders")
    async def newest() -> list[dict[str, Any]]:
        query = select(orders).where(orders.c.tenant == TENANT).order_by(orders.c.placed_ms.desc()).limit(PAGE)
        async with database.look(tenant=TENANT) as work:
            return [dict(row._mapping) for row in await work.rows(query)]

    # The bench waits for this line; until the server listens a connection waits in the backlog.
    listening = listen("127.0.0.1", int(sys.argv[2]))
    print("bare: ready", flush=True)
    uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False)).run(sockets=[listening])


if __name__ == "__main__":
    main()
