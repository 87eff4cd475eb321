"""What a machine is asked to do: sealed, repeated until it answers, done at most once."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import msgspec

from cloud import downlink
from cloud.database import Work
from cloud.errors import FleetError
from cloud.events import Event, tell
from cloud.machines import store
from cloud.machines.credentials import Credentials
from cloud.machines.model import Machine, Origin
from cloud.machines.register import machine_of
from shared.ids import CommandId, mint_command_id
from shared.messages import ApplyConfig, Ask, Command, CommandAnswered, encode
from shared.seal import seal_command

# Unanswered commands of one machine. A visit loads some dozen aisles at once; far beyond that nobody is listening.
WAITING_MAX = 500


async def ask(work: Work, credentials: Credentials, tenant: str, machine: str, what: Ask, asked_by: str) -> CommandId:
    """Ask a machine for something and answer the command's id.

    FleetError: not_found, conflict when the machine was never claimed, too_many when it answers nothing.
    """
    (command,) = await ask_all(work, credentials, tenant, machine, [what], asked_by)
    return command


async def ask_all(
    work: Work, credentials: Credentials, tenant: str, machine: str, what: Sequence[Ask], asked_by: str
) -> list[CommandId]:
    """Ask a machine for several things at once; answers the commands' ids. Refuses like `ask`, all or nothing."""
    found = await machine_of(work, tenant, machine, lock=True)
    if not found.is_trusted:
        raise FleetError("conflict", "the machine is not claimed: it has no key to check a command with")
    if await store.count_waiting(work, tenant, machine) + len(what) > WAITING_MAX:
        raise FleetError("too_many", f"{WAITING_MAX} commands wait for this machine's answer", field="machine")
    if any(isinstance(one, ApplyConfig) for one in what):
        await downlink.withdraw(work, tenant, await store.supersede(work, tenant, machine, kind="apply_config"))
    return await _send(work, credentials, [(found, one) for one in what], asked_by)


async def send_configs(
    work: Work, credentials: Credentials, tenant: str, asked: Sequence[tuple[Machine, ApplyConfig]], asked_by: str
) -> None:
    """Send configurations to trusted machines that this Work has locked, in place of those that are on their way.

    The waiting commands of a machine are not counted: the one that is replaced makes room for the new one.
    """
    gone = await store.supersede_configs(work, tenant, [machine.machine for machine, _ in asked])
    await downlink.withdraw(work, tenant, gone)
    await _send(work, credentials, asked, asked_by)


async def _send(
    work: Work, credentials: Credentials, asked: Sequence[tuple[Machine, Ask]], asked_by: str
) -> list[CommandId]:
    """Ask each of these machines (all of one tenant) for one thing."""
    if not asked:
        return []
    tenant = asked[0][0].tenant
    rows, lines, told = [], [], []
    sent = [mint_command_id() for _ in asked]
    for command, (machine, what) in zip(sent, asked, strict=True):
        body = encode(what)
        key = credentials.keys(machine.machine, machine.credential_version).mac_key
        message = Command(command=command, ask=msgspec.Raw(body), mac=seal_command(key, machine.machine, body))
        kind = str(what.__struct_config__.tag)
        rows.append(
            {
                "tenant": tenant,
                "command": command,
                "machine": machine.machine,
                "kind": kind,
                "ask": body.decode(),
                "state": "waiting",
                "detail": "",
                "asked_by": asked_by,
                "asked_ms": work.now_ms,
                "answered_ms": None,
            }
        )
        lines.append((machine.machine, command, encode(message)))
        told.append(Event(tenant, "command.asked", command, {"machine": machine.machine, "kind": kind}))
    await store.add_commands(work, rows)
    await downlink.enqueue_all(work, tenant, "command", lines, work.now_ms + downlink.COMMAND_KEPT_MS)
    await tell(work, told)
    return sent


async def waiting_commands(work: Work, tenant: str, machine: str) -> list[str]:
    """The ids of what a machine was asked and has not answered yet."""
    return await store.find_waiting(work, tenant, machine)


async def command_states(work: Work, tenant: str, wanted: Collection[str]) -> dict[str, str]:
    """What became of these commands so far."""
    return await store.states_of(work, tenant, wanted) if wanted else {}


async def note_answers(work: Work, answers: Iterable[tuple[Origin, CommandAnswered]]) -> None:
    """Keep what machines said became of their commands, and stop repeating those."""
    rows = []
    for origin, fact in answers:
        state = "done" if fact.done else "refused"
        row = {"of": origin.tenant, "which": fact.command, "now": state, "said": fact.detail}
        rows.append({**row, "at": origin.happened_ms})
    await store.answer_commands(work, rows)
    for tenant in sorted({str(row["of"]) for row in rows}):
        await downlink.withdraw(work, tenant, [str(row["which"]) for row in rows if row["of"] == tenant])
