"""The live line of events, as Server-Sent Events that can be resumed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi.sse import ServerSentEvent
from pydantic import Field

from cloud import events
from cloud.accounts.model import Permission
from cloud.accounts.sign_in import recognise
from cloud.facades.dialect import Call, Filter, Nothing, Operation
from cloud.facades.native.shapes import Id
from cloud.metrics import STREAMS


class EventFilter(Filter):
    after: Annotated[int, Field(ge=0, le=2**53)] | None = None
    kind: Id | None = None


async def stream_events(call: Call[Nothing, EventFilter]) -> AsyncIterator[ServerSentEvent]:
    """Follow what happens, as it is committed.

    Every event carries its number as `id`. A client that comes back with `Last-Event-ID` (browsers do) or `after` gets
    what it missed; without either the stream begins now. Events are kept for four days: where some are gone already, an
    event `gap` says which. A comment is sent every 15 seconds. The stream ends when the token does.
    """
    after = await _start(call)
    with STREAMS.track_inprogress():
        # Sent at once, so that the client knows that the stream stands before anything happens.
        yield ServerSentEvent(comment=f"what comes after {after}")
        while not call.parts.watch.closed:
            async with call.parts.database.look(tenant=call.tenant) as work:
                # The token may have been revoked, or its owner's role changed, since the stream began.
                subject = await recognise(work, call.token or "")
                found = await events.read_after(work, call.tenant, after)
            if not subject.may(Permission.REPORTS_READ):
                return
            if found and found[0].id > after + 1:
                yield ServerSentEvent(event="gap", data={"from": after + 1, "to": found[0].id - 1})
            for event in found:
                after = event.id
                if call.query.kind in (None, event.kind):
                    data = {"subject": event.subject, "at_ms": event.at_ms, **event.data}
                    yield ServerSentEvent(id=str(event.id), event=event.kind, data=data)
            if not found:
                await call.parts.watch.wait(call.tenant, after)


async def _start(call: Call[Nothing, EventFilter]) -> int:
    if call.last_event_id is not None:
        return int(call.last_event_id)
    if call.query.after is not None:
        return call.query.after
    async with call.parts.database.look(tenant=call.tenant) as work:
        return await events.last_id(work, call.tenant)


OPERATIONS = (Operation("GET", "/events", Permission.REPORTS_READ, stream_events, transacted=False, streams=True),)
