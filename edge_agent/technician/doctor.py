"""`aislectl doctor`: everything that can be looked at from this computer, each finding with what to do about it.

It works with the agent down as far as possible: settings, secret, ports, clock, disk, broker and ledger are looked at
from outside. What only the owner of the ports knows (boards, errors on the lines) needs the agent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from rich.console import Group, RenderableType
from rich.text import Text

from edge_agent import settings as settings_files
from edge_agent.errors import Refused, SettingsWrong
from edge_agent.settings import Settings
from edge_agent.technician import broker, host, wiring
from edge_agent.technician import desk as desks
from edge_agent.technician.desk import Desk, NotReachable
from edge_agent.technician.screens import BAD, GOOD, QUIET, WARN, connected, table
from edge_agent.technician.speech import Speech
from shared.clock import SystemClock

State = Literal["ok", "warn", "bad", "unknown"]

STYLES: Final[Mapping[State, str]] = {"ok": GOOD, "warn": WARN, "bad": BAD, "unknown": QUIET}

# The broker answers, and refuses this machine.
REFUSED: Final = re.compile("the broker refused|publish refused|subscription refused")
# Facts that wait although the cloud is connected: the pace after an outage clears as many in ten seconds.
WAITING_MAX: Final = 500


@dataclass(frozen=True, slots=True)
class Finding:
    """One look at one thing. `fix` is empty when there is nothing to do."""

    check: str
    state: State
    detail: str
    fix: str = ""


@dataclass(slots=True)
class Examination:
    """What is known so far; every check adds to `findings`."""

    desk: Desk
    settings: Settings | None = None
    findings: list[Finding] = field(default_factory=list)

    def note(self, check: str, state: State, detail: str, fix: str = "") -> None:
        """Add one finding; `check` is a word of the protocol, the rest is in the person's language already."""
        self.findings.append(Finding(check, state, detail, fix))


async def doctor(desk: Desk) -> int:
    """Look at everything; 0 when nothing is bad, 78 when the settings cannot be used, else 1."""
    findings = await examine(desk)
    desk.tell(findings, lambda: picture(findings, desk.say))
    bad = [finding.check for finding in findings if finding.state == "bad"]
    if "settings" in bad:
        return desks.SETTINGS
    return desks.FAILED if bad else desks.OK


async def examine(desk: Desk) -> list[Finding]:
    """All findings, in the order in which one depends on another."""
    seen = Examination(desk.anyway())
    _settings(seen)
    status = await _agent(seen)
    if seen.settings is not None:
        _ports(seen, seen.settings)
    if status is not None:
        await _water(seen, sells=status["selling"])
        await _faults(seen)
        await _lines(seen)
        _cloud(seen, status)
    _clock(seen)
    if seen.settings is not None:
        _disk(seen, seen.settings)
        await _broker(seen, seen.settings)
        await _ledger(seen, seen.settings, running=status is not None)
    return seen.findings


def picture(findings: list[Finding], say: Speech) -> RenderableType:
    """The findings, and below them what to do, the bad ones first."""
    made = table(say("What"), say("State"), say("Seen"))
    for one in findings:
        made.add_row(say.word(one.check), Text(say.word(one.state), style=STYLES[one.state]), one.detail)
    fixes = [one for state in ("bad", "warn", "unknown") for one in findings if one.state == state and one.fix]
    steps = [Text(f"{number}. {say.word(one.check)}: {one.fix}") for number, one in enumerate(fixes, 1)]
    if not steps:
        return Group(made, Text(say("nothing to do"), style=GOOD))
    return Group(made, Text(say("What to do"), style="bold"), *steps)


# --- the checks ---


def _settings(seen: Examination) -> None:
    say = seen.desk.say
    path = seen.desk.settings_file
    try:
        seen.settings = seen.desk.settings()
    except SettingsWrong as wrong:
        seen.note("settings", "bad", str(wrong), say("correct the file, then: systemctl restart aisleflow-agent"))
        return
    seen.note("settings", "ok", str(path))
    try:
        settings_files.read_keys(seen.settings)
    except SettingsWrong as wrong:
        fix = say("claim the machine again and write its secret into the file, mode 0600; or ask as root")
        seen.note("secret", "bad", str(wrong), fix)
    else:
        seen.note("secret", "ok", say("readable, and only by its owner"))


async def _agent(seen: Examination) -> Mapping[str, Any] | None:
    say = seen.desk.say
    try:
        status: Mapping[str, Any] = await seen.desk.ask("status")
    except NotReachable as error:
        seen.note("agent", "bad", str(error), say("read: journalctl -u aisleflow-agent -n 50"))
        return None
    except Refused as refused:
        seen.note("agent", "bad", refused.detail, say("join the group of the socket, or use sudo"))
        return None
    seen.note("agent", "ok", f"{status['machine']}, {status['epoch']}")
    if status["selling"]:
        seen.note("sale", "ok", say("selling"))
    else:
        seen.note("sale", "bad", say.sentence(status["reason"]), say.stop_fix(status["reason"]))
    return status


async def _water(seen: Examination, *, sells: bool) -> None:
    """A machine that sells goods on is selling, and may give no water all the same."""
    say = seen.desk.say
    try:
        water = await seen.desk.ask("water")
    except Refused:  # no purifier
        return
    if water["giving"]:
        seen.note("water", "ok", say("water is given"))
    elif sells:  # otherwise the sale has said it
        seen.note("water", "bad", say.sentence(water["reason"]), say.stop_fix(water["reason"]))


async def _faults(seen: Examination) -> None:
    """A machine sells on beside most faults, so the sale alone does not tell of them."""
    say = seen.desk.say
    for fault in await seen.desk.ask("faults"):
        detail = f"{say.word(fault['code'], 'fault')}, {fault['scope']}: {say.sentence(fault.get('detail', ''))}"
        seen.note("fault", "bad", detail, say.fix(fault["code"]))


def _ports(seen: Examination, settings: Settings) -> None:
    for url in dict.fromkeys([*(bus.url for bus in settings.bus), *(line.url for line in settings.modbus)]):
        for state, detail, fix in host.port(url, seen.desk.say):
            seen.note("port", state, detail, fix)


async def _lines(seen: Examination) -> None:
    say = seen.desk.say
    for line in await seen.desk.ask("bus"):
        found = wiring.findings(line)
        for one in found:
            where = f"{one.url} {say('Slave')} {one.slave}" if one.slave else one.url
            state: State = "bad" if one.pattern in ("port_down", "all_silent", "garbage", "one_silent") else "warn"
            seen.note(
                "wiring",
                state,
                f"{where}: {say.word(one.pattern)} {say.sentence(one.figures)}".rstrip(),
                say.fix(one.pattern),
            )
        if not found:
            seen.note("wiring", "ok", f"{line['url']}: {say('slaves that answer')}: {len(line['slaves'])}")


def _cloud(seen: Examination, status: Mapping[str, Any]) -> None:
    say = seen.desk.say
    waiting = status["facts_waiting"]
    detail = f"{say('Facts waiting')} {waiting}"
    if not status["connected"]:
        fix = say("the machine sells on without the cloud; look at broker and network below")
        if REFUSED.search(status["not_connected_because"] or ""):  # broker and network are well
            fix = say.fix("uplink_denied")
        seen.note("cloud", "warn", f"{connected(status, say)}, {detail}", fix)
    elif waiting > WAITING_MAX:
        seen.note(
            "cloud", "warn", detail, say("if it does not fall within minutes: tell the operator, ingest may stand")
        )
    else:
        seen.note("cloud", "ok", f"{say('connected')}, {detail}")


def _clock(seen: Examination) -> None:
    say = seen.desk.say
    state = SystemClock().clock_state()
    told: Mapping[str, tuple[State, str]] = {
        "synced": ("ok", ""),
        "restored": ("warn", say("no time server answered since the start: timedatectl, and let UDP port 123 out")),
        "unset": (
            "bad",
            say("the clock was never set: timedatectl set-time, or connect the network; records have no time before"),
        ),
    }
    found, fix = told[state]
    seen.note("clock", found, say.word(state), fix)


def _disk(seen: Examination, settings: Settings) -> None:
    for check, state, detail, fix in host.disk(settings.data_dir, settings.limits.reserve_mb, seen.desk.say):
        seen.note(check, state, detail, fix)


async def _broker(seen: Examination, settings: Settings) -> None:
    for check, state, detail, fix in await broker.reach(settings.uplink, SystemClock(), seen.desk.say):
        seen.note(check, state, detail, fix)


async def _ledger(seen: Examination, settings: Settings, *, running: bool) -> None:
    say = seen.desk.say
    fix = say(
        "stop the agent, keep the whole data folder, start it again: it sets the file aside; then count the stock"
    )
    if running:
        findings: list[str] = (await seen.desk.ask("check_ledger"))["findings"]
    else:
        try:
            findings = host.ledger_findings(settings.data_dir / "ledger.sqlite")
        except OSError as error:
            seen.note("ledger", "unknown", f"{error.filename}: {error.strerror}", say("ask as root"))
            return
    if findings:
        seen.note("ledger", "bad", "; ".join(findings), fix)
    else:
        seen.note("ledger", "ok", say("every check passed"))
