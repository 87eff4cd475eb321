"""What a machine is asked to do: sealed, repeated until it answers, done at most once."""

from __future__ import annotations

from collections.abc import Iterable

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
    found = await machine_of(work, tenant, machine, lock=True)
    if not found.is_trusted:
        raise FleetError("conflict", "the machine is not claimed: it has no key to check a command with")
    if await store.count_waiting(work, tenant, machine) >= WAITING_MAX:
        raise FleetError("too_many", f"{WAITING_MAX} commands wait for this machine's answer", field="machine")
    if isinstance(what, ApplyConfig):
        await downlink.withdraw(work, tenant, await store.supersede(work, tenant, machine, kind="apply_config"))
    return await _send(work, credentials, found, what, asked_by)


async def _send(work: Work, credentials: Credentials, machine: Machine, what: Ask, asked_by: str) -> CommandId:
    command = mint_command_id()
    body = encode(what)
    key = credentials.keys(machine.machine, machine.credential_version).mac_key
    message = Command(command=command, ask=msgspec.Raw(body), mac=seal_command(key, machine.machine, body))
    kind = str(what.__struct_config__.tag)
    await store.add_command(
        work,
        {
            "tenant": machine.tenant,
            "command": command,
            "machine": machine.machine,
            "kind": kind,
            "ask": body.decode(),
            "state": "waiting",
            "detail": "",
            "asked_by": asked_by,
            "asked_ms": work.now_ms,
            "answered_ms": None,
        },
    )
    until = work.now_ms + downlink.COMMAND_KEPT_MS
    await downlink.enqueue(work, machine.tenant, machine.machine, "command", command, encode(message), until)
    told = {"machine": machine.machine, "kind": kind}
    await tell(work, [Event(machine.tenant, "command.asked", command, told)])
    return command


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
