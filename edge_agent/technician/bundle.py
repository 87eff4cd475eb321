"""`aislectl bundle`: one archive for whoever helps from afar, without a secret in it.

Two guards: what is put in is chosen (never the secret file, never the ledger), and everything that is put in passes
`redact`, which knows the machine's own secrets and the shapes of others.
"""

from __future__ import annotations

import io
import platform
import re
import subprocess
import tarfile
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import msgspec

from edge_agent import settings as settings_files
from edge_agent.errors import Refused, SettingsWrong
from edge_agent.technician import desk as desks
from edge_agent.technician.desk import Desk, NotReachable
from edge_agent.technician.doctor import examine
from shared.clock import SystemClock

# What the agent is asked for the archive.
ASKED: Final = ("status", "aisles", "faults", "bus", "outbox", "reviews", "visit", "sensors", "water", "pours")

# The log of some days; more would not be read.
LOG_LINES: Final = 5_000
LOG_BYTES_MAX: Final = 4_000_000

HIDDEN: Final = "[hidden]"

_SHAPES: Final = (
    re.compile(r"-----BEGIN [^-]+-----.*?-----END [^-]+-----", re.DOTALL),
    # A key or a password derived from one: 20 bytes in hex and more. Ids of this house are shorter.
    re.compile(r"(?<![0-9A-Za-z])[0-9a-fA-F]{40,}(?![0-9A-Za-z])"),
    re.compile(r"(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"),
    re.compile(r"(?i)(?<=bearer )[A-Za-z0-9._~+/=-]{8,}"),
)
_NAMED: Final = re.compile(
    r"(?i)\b((?:\w*_)?(?:password|passwd|secret|token|mac|api_?key))(\"?\s*[:=]\s*\"?)([^\s\",;]+)"
)


def redact(text: str, known: Sequence[str] = ()) -> str:
    """`text` without secrets: those that are `known`, in either case, and whatever has the shape of one."""
    for secret in known:
        text = re.sub(re.escape(secret), HIDDEN, text, flags=re.IGNORECASE)
    for shape in _SHAPES:
        text = shape.sub(HIDDEN, text)
    return _NAMED.sub(lambda match: f"{match[1]}{match[2]}{HIDDEN}", text)


async def bundle(desk: Desk, path: Path | None) -> int:
    """Write the archive; it is made also when the agent is down or the settings are wrong."""
    clock = SystemClock()
    known = own_secrets(desk)
    path = path or Path(f"aisleflow-{platform.node()}-{clock.wall_ms() // 1000}.tar.gz")
    members = {name: redact(text, known) async for name, text in _members(desk)}
    try:
        with path.open("xb") as file, tarfile.open(fileobj=file, mode="w:gz") as archive:
            for name, text in members.items():
                _add(archive, name, text.encode(), clock.wall_ms() // 1000)
    except OSError as error:
        raise Refused("not_written", f"{path}: {error.strerror}") from error
    told = {"path": str(path), "members": list(members)}
    desk.tell(told, lambda: f"{path}: {desk.say('no secret in it; send it to whoever helps')}")
    return desks.OK


def own_secrets(desk: Desk) -> list[str]:
    """The machine's secret and what is derived from it, as text, as far as this account may read it."""
    try:
        settings = desk.settings()
        secret = settings.uplink.secret_file.read_text(encoding="ascii").strip()
        keys = settings_files.read_keys(settings)
    except (SettingsWrong, OSError, UnicodeDecodeError):
        return []  # whoever cannot read it cannot put it into the archive
    return [secret, keys.mqtt_password, keys.mac_key.hex()]


async def _members(desk: Desk) -> Any:
    """Name and text of every member."""
    yield "versions.txt", "\n".join(_versions())
    yield "doctor.json", _json(await examine(desk))
    try:
        yield "settings.txt", settings_files.describe(desk.settings())
    except SettingsWrong as wrong:
        yield "settings.txt", str(wrong)
    for word in ASKED:
        try:
            yield f"{word}.json", _json(await desk.anyway().ask(word))
        except Refused as refused:
            yield f"{word}.txt", refused.detail
        except NotReachable as error:
            yield "agent.txt", str(error)
            break
    yield "log.txt", _log()
    for path in (Path("/proc/uptime"), Path("/proc/meminfo"), Path("/proc/mounts")):
        yield f"{path.name}.txt", path.read_text(encoding="utf-8", errors="replace")


def _versions() -> Iterator[str]:
    yield f"python {platform.python_version()} {platform.platform()}"
    for distribution in sorted(metadata.distributions(), key=lambda one: one.name.lower()):
        yield f"{distribution.name} {distribution.version}"


def _log() -> str:
    """The agent's journal, where there is one."""
    command = ["journalctl", "-u", "aisleflow-agent", "-n", str(LOG_LINES), "--no-pager", "-o", "short-iso"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"no journal: {error}"
    return (done.stdout or done.stderr)[-LOG_BYTES_MAX:]


def _json(answer: object) -> str:
    return msgspec.json.format(msgspec.json.encode(answer), indent=2).decode()


def _add(archive: tarfile.TarFile, name: str, raw: bytes, seconds: int) -> None:
    member = tarfile.TarInfo(f"aisleflow/{name}")
    member.size, member.mtime, member.mode = len(raw), seconds, 0o600
    archive.addfile(member, io.BytesIO(raw))
