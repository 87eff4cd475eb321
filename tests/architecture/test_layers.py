"""Who may import whom, as one table per direction.

`MAY` names, for a layer, everything outside the standard library that it may import: what is not named is refused.
`NOT_PURE` names the parts of the standard library that a pure layer does without. Chains over several modules are
the business of import-linter, whose contracts are in pyproject.toml; the last test runs it.
"""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.architecture.tree import PACKAGES, ROOT, Module, below, imports, modules

# The first row whose pattern fits the whole module name holds. Patterns are regular expressions over dotted names.
MAY: list[tuple[str, set[str]]] = [
    (r"shared\.mqtt", {"shared", "paho"}),
    (r"shared(\..*)?", {"shared", "msgspec"}),
    # The simulator: nothing of the agent or the cloud, no type of theirs.
    (r"firmware_sim\.demo(\..*)?", {"firmware_sim", "shared.quantities", "rich", "httpx2"}),
    (r"firmware_sim(\..*)?", {"firmware_sim", "shared.quantities", "serial"}),
    # The agent, from the wire up.
    (r"edge_agent\.errors", {"shared"}),
    (r"edge_agent\.wire(\..*)?", {"edge_agent.wire", "shared"}),
    (
        r"edge_agent\.links(\..*)?",
        {"edge_agent.links", "edge_agent.wire", "edge_agent.errors", "shared", "serial", "minimalmodbus"},
    ),
    (r"edge_agent\.devices\.ports", {"shared"}),
    (
        r"edge_agent\.devices\.(modbus_profile|profile_file)",
        {"edge_agent.devices", "edge_agent.wire", "edge_agent.errors", "shared", "msgspec"},
    ),
    (
        r"edge_agent\.devices(\..*)?",
        {"edge_agent.devices", "edge_agent.links", "edge_agent.wire", "edge_agent.errors", "shared"},
    ),
    (r"edge_agent\.ledger(\..*)?", {"edge_agent.ledger", "edge_agent.errors", "shared", "aiosqlite", "msgspec"}),
    (r"edge_agent\.vend\.(transitions|aisles)", {"edge_agent.vend", "edge_agent.devices.ports", "shared"}),
    (
        r"edge_agent\.vend(\..*)?",
        {"edge_agent.vend", "edge_agent.devices.ports", "edge_agent.ledger", "edge_agent.errors", "shared"},
    ),
    (
        r"edge_agent\.pour\.(transitions|flow|evenness|filters|plan|display)",
        {"edge_agent.pour", "edge_agent.devices.ports", "shared"},
    ),
    (
        r"edge_agent\.pour(\..*)?",
        {"edge_agent.pour", "edge_agent.devices.ports", "edge_agent.ledger", "edge_agent.errors", "shared"},
    ),
    (
        r"edge_agent\.uplink(\..*)?",
        {
            "edge_agent.uplink",
            "edge_agent.ledger.outbox",
            "edge_agent.ledger.inbox",
            "edge_agent.ledger.readings",
            "edge_agent.errors",
            "edge_agent.settings",
            "shared",
            "msgspec",
        },
    ),
    (
        r"edge_agent\.(settings|supervise|local_socket)",
        {"edge_agent.errors", "edge_agent.settings", "shared", "msgspec"},
    ),
    # The technician's command asks through the socket: it knows the words, and nothing behind them.
    (r"edge_agent\.vocabulary\.asks", {"shared", "msgspec"}),
    (
        r"edge_agent\.technician(\..*)?",
        {
            "edge_agent.technician",
            "edge_agent.vocabulary.asks",
            "edge_agent.local_socket",
            "edge_agent.settings",
            "edge_agent.errors",
            "shared",
            "msgspec",
            "rich",
        },
    ),
    (r"edge_agent\.vocabulary(\..*)?", {"edge_agent", "shared", "msgspec"}),
    # What composes may see all of the agent, and no library but the message codec.
    (r"edge_agent(\.[a-z_]+)?", {"edge_agent", "shared", "msgspec"}),
    # The cloud.
    (r"cloud\.[a-z]+\.model", {"shared", "cloud", "msgspec"}),
    (r"cloud\.accounts\.passwords", {"cloud.accounts", "cloud.errors", "shared", "argon2"}),
    (r"cloud\.accounts\.vault", {"cloud.accounts", "cloud.errors", "shared", "cryptography"}),
    (
        r"cloud\.(metrics|facades\.health)",
        {"cloud", "shared", "fastapi", "starlette", "pydantic", "sqlalchemy", "prometheus_client"},
    ),
    (r"cloud\.facades(\..*)?", {"cloud", "shared", "fastapi", "starlette", "pydantic", "msgspec", "sqlalchemy"}),
    (
        r"cloud\.(app|processes|__main__)",
        {"cloud", "shared", "fastapi", "starlette", "uvicorn", "sqlalchemy", "prometheus_client"},
    ),
    (r"cloud\.database", {"cloud", "shared", "sqlalchemy", "asyncpg"}),
    # Adapters to other people's services know their protocols and nothing of ours.
    (
        r"cloud\.providers\.(payment|sms|recording|asking|keys|wechat|alipay|aliyun_sms|wechat_people|directory)",
        {"cloud.providers", "cloud.errors", "shared", "httpx2", "cryptography"},
    ),
    (r"cloud\.migrations(\..*)?", {"cloud", "shared", "sqlalchemy", "alembic"}),
    (r"cloud\.load\.yaml_file", {"cloud.load", "yaml"}),
    (r"cloud\.load\.workbook", {"cloud.load", "openpyxl", "xlsxwriter"}),
    (r"cloud(\..*)?", {"cloud", "shared", "sqlalchemy", "alembic", "msgspec"}),
]

# Pure layers: no clock, no loop, no file, no process, no randomness.
PURE = (
    r"edge_agent\.wire(\..*)?|edge_agent\.(vend|pour)\.transitions|edge_agent\.vend\.aisles"
    r"|edge_agent\.pour\.(flow|evenness|filters|plan|display)|cloud\.[a-z]+\.model|shared\.(messages|envelope|topics|quantities)"
)
NOT_PURE = {"asyncio", "time", "os", "sqlite3", "threading", "socket", "subprocess", "random", "io", "pathlib"}


def may_import(module: Module) -> set[str]:
    """The row of `MAY` for a module."""
    return next(allowed for pattern, allowed in MAY if re.fullmatch(pattern, module.name))


@pytest.mark.parametrize("package", PACKAGES)
def test_a_module_imports_only_what_its_layer_may(package: str) -> None:
    broken = [
        f"{module.path}:{line} imports {name}"
        for module in modules(package)
        for line, name in imports(module)
        if name.split(".")[0] not in sys.stdlib_module_names
        and not any(below(name, allowed) for allowed in may_import(module))
    ]
    assert broken == []


def test_pure_modules_touch_neither_clock_nor_loop_nor_file() -> None:
    pure = [module for module in modules() if re.fullmatch(PURE, module.name)]
    assert len(pure) > 5, "the pattern no longer finds the pure modules"
    broken = [
        f"{module.path}:{line} imports {name}"
        for module in pure
        for line, name in imports(module)
        if name.split(".")[0] in NOT_PURE
    ]
    assert broken == []


def test_a_store_touches_no_other_store() -> None:
    broken = [
        f"{module.path}:{line} imports {name}"
        for module in modules("cloud")
        if re.fullmatch(r"cloud\.[a-z]+\.store", module.name)
        for line, name in imports(module)
        if re.fullmatch(r"cloud\.[a-z]+\.store", name) and name != module.name
    ]
    assert broken == []


def test_facades_reach_no_store_and_no_other_facade() -> None:
    facades = {module.name for module in modules("cloud") if re.fullmatch(r"cloud\.facades\.[a-z]+", module.name)}
    facades = {name for name in facades if (ROOT / name.replace(".", "/")).is_dir()}
    assert facades
    broken = [
        f"{module.path}:{line} imports {name}"
        for module in modules("cloud")
        if below(module.name, "cloud.facades")
        for line, name in imports(module)
        if name.endswith(".store") or any(below(name, facade) and not below(module.name, facade) for facade in facades)
    ]
    assert broken == []


def test_chains_of_imports_respect_the_layers() -> None:
    lint = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True, no_logo=True))"
    finished = subprocess.run([sys.executable, "-c", lint], cwd=ROOT, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
