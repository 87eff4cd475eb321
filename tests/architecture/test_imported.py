"""What really ends up in memory: the agent without the cloud's libraries, the cloud without the agent's.

Each half is imported whole in a fresh interpreter, so that a library that sneaks in through another library is found
as well.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.architecture.tree import ROOT, modules

CLOUD_ONLY = {"pydantic", "fastapi", "starlette", "sqlalchemy", "alembic", "asyncpg", "argon2", "uvicorn"}
EDGE_ONLY = {"serial", "minimalmodbus"}
SIM_ONLY = {"rich", "amqtt"}
FORBIDDEN = {
    "edge_agent": CLOUD_ONLY | SIM_ONLY | {"cryptography", "cloud", "firmware_sim"},
    "cloud": EDGE_ONLY | SIM_ONLY | {"edge_agent", "firmware_sim"},
    "firmware_sim": CLOUD_ONLY | {"paho", "aiosqlite", "minimalmodbus", "msgspec", "edge_agent", "cloud"},
    "shared": CLOUD_ONLY | EDGE_ONLY | SIM_ONLY | {"edge_agent", "cloud", "firmware_sim"},
}

IMPORT_AND_TELL = """
import importlib, json, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


@pytest.mark.parametrize("package", sorted(FORBIDDEN))
def test_a_half_of_the_house_loads_nothing_of_the_other(package: str) -> None:
    # The demo's screen, the technician's command and Alembic's own environment are processes of their own.
    apart = ("firmware_sim.demo", "edge_agent.technician", "cloud.migrations.env", "cloud.migrations.versions")
    names = [module.name for module in modules(package) if not module.name.startswith(apart)]
    loaded = loaded_by(names)
    assert package in loaded
    assert loaded & FORBIDDEN[package] == set()


def test_the_technicians_command_loads_neither_ports_nor_database() -> None:
    loaded = loaded_by([module.name for module in modules("edge_agent") if "technician" in module.name.split(".")[1:2]])
    assert "rich" in loaded
    assert loaded & (CLOUD_ONLY | EDGE_ONLY | {"aiosqlite", "amqtt", "cloud", "firmware_sim"}) == set()


def loaded_by(names: list[str]) -> set[str]:
    """The top-level packages in memory after importing modules in a fresh interpreter."""
    finished = subprocess.run(
        [sys.executable, "-c", IMPORT_AND_TELL, *names], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    return set(json.loads(finished.stdout))
