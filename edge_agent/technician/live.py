"""The live screen: one picture a second from the agent, until Ctrl-C."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.text import Text

from edge_agent.technician import desk as desks
from edge_agent.technician import screens
from edge_agent.technician.desk import Desk
from edge_agent.technician.screens import BAD, GOOD, WARN
from edge_agent.technician.speech import Speech

# One character shows an aisle's stock; nine and more look alike.
LEVEL_MAX: Final = 9
LOW: Final = 3


async def watch(desk: Desk, every_ms: int, count: int) -> int:
    """Show the machine until interrupted, or for `count` pictures when that is not 0."""
    async with desk.agent() as agent:
        pictures = agent.watch("watch", every_ms=every_ms)
        if desk.as_json or not desk.paper.is_terminal:
            await _lines(desk, pictures, count)
        else:
            await _screen(desk, pictures, count, every_ms)
    return desks.OK


async def _lines(desk: Desk, pictures: Any, count: int) -> None:
    """For a program or a file: one line per picture."""
    shown = 0
    async for picture in pictures:
        if desk.as_json:
            desk.tell_json(picture)
        else:
            desk.paper.print(_line(picture, desk.say))
        shown += 1
        if shown == count:
            return


async def _screen(desk: Desk, pictures: Any, count: int, every_ms: int) -> None:
    before: Mapping[str, Any] | None = None
    shown = 0
    with Live(console=desk.paper, screen=True, auto_refresh=False) as live:
        async for picture in pictures:
            live.update(render(picture, before, every_ms, desk.say), refresh=True)
            before = picture
            shown += 1
            if shown == count:
                return


def _line(picture: Mapping[str, Any], say: Speech) -> Text:
    status = picture["status"]
    on_hand = sum(row["on_hand"] for row in picture["aisles"])
    text = Text(f"{status['machine']}  ").append_text(screens.selling(status, say))
    return text.append(
        f"  {say('on hand')} {on_hand}  {say('faults')} {len(picture['faults'])}"
        f"  {say('facts waiting')} {status['facts_waiting']}"
    )


def render(picture: Mapping[str, Any], before: Mapping[str, Any] | None, over_ms: int, say: Speech) -> RenderableType:
    """The whole screen."""
    parts: list[RenderableType] = [
        Columns(
            [
                Panel(screens.status(picture["status"], say), title=say("Machine")),
                Panel(screens.faults(picture["faults"], say), title=say("Faults")),
            ],
            expand=True,
        ),
        Panel(shelf(picture["aisles"], say), title=say("Aisles")),
    ]
    if (water := picture.get("water")) is not None:
        probes = screens.sensors(picture["sensors"], say)
        parts.append(Panel(Columns([screens.water(water, say), probes], expand=True), title=say("Water")))
    earlier = before["bus"] if before else ()
    parts.append(Panel(screens.bus(picture["bus"], say, before=earlier, over_ms=over_ms), title=say("Lines")))
    parts.append(Text(say("Ctrl-C ends"), style=screens.QUIET))
    return Group(*parts)


def shelf(aisles: list[Mapping[str, Any]], say: Speech) -> RenderableType:
    """One cell per aisle: its name and how many lie there, x when closed."""
    if not aisles:
        return Text(say("no planogram yet"))
    cells = []
    for row in aisles:
        if row["locked"] is not None:
            cells.append(Text(f"{row['aisle']} x", style=BAD))
        else:
            level = min(row["on_hand"], LEVEL_MAX)
            style = GOOD if level > LOW else WARN if level else BAD
            cells.append(Text(f"{row['aisle']} {level}", style=style))
    return Columns(cells, equal=True, padding=(0, 2))
