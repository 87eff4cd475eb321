"""The live screen: one picture a second from the agent, until Ctrl-C."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from rich.console import Group
from rich.live import Live
from rich.text import Text

from edge_agent.technician import desk as desks
from edge_agent.technician import fit, screens
from edge_agent.technician.desk import Desk
from edge_agent.technician.fit import Section
from edge_agent.technician.screens import BAD, GOOD, WARN
from edge_agent.technician.speech import Speech
from shared.clock import SystemClock

# One character shows an aisle's stock; nine and more look alike.
LEVEL_MAX: Final = 9
LOW: Final = 3
# So many faults are seen whatever else there is to see; the others come when there is room.
FAULTS_VITAL: Final = 3


async def watch(desk: Desk, every_ms: int, count: int | None) -> int:
    """Show the machine until interrupted, or for `count` pictures."""
    async with desk.agent() as agent:
        pictures = agent.watch("watch", every_ms=every_ms)
        if desk.as_json or not desk.paper.is_terminal or desk.paper.is_dumb_terminal:
            await _lines(desk, pictures, count)
        else:
            await _screen(desk, pictures, count, every_ms)
    return desks.OK


async def _lines(desk: Desk, pictures: Any, count: int | None) -> None:
    """For a program or a file: one line per picture."""
    shown = 0
    async for picture in pictures:
        desk.tell(picture, partial(_line, picture, desk.say))
        shown += 1
        if shown == count:
            return


async def _screen(desk: Desk, pictures: Any, count: int | None, every_ms: int) -> None:
    before: Mapping[str, Any] | None = None
    shown = 0
    clock = SystemClock()
    with Live(console=desk.paper, screen=True, auto_refresh=False) as live:
        async for picture in pictures:
            live.update(Group(*render(picture, before, every_ms, desk, clock.wall_ms())), refresh=True)
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


def render(
    picture: Mapping[str, Any], before: Mapping[str, Any] | None, over_ms: int, desk: Desk, wall_ms: int
) -> list[Text]:
    """The lines of the whole screen, as large as the terminal is now; `before` is the picture `over_ms` ago."""
    say, paper = desk.say, desk.paper
    dash = "-" if paper.options.ascii_only else "─"
    at = screens.moment(wall_ms).rpartition(" ")[2]
    return fit.screen(
        sections(picture, before, over_ms, say, at),
        *paper.size,
        more=lambda missing: say("+ {missing} more", missing=missing),
        dash=dash,
    )


def sections(
    picture: Mapping[str, Any], before: Mapping[str, Any] | None, over_ms: int, say: Speech, at: str
) -> list[Section]:
    """What is to be seen, the most important first: whether it sells and what is odd, its faults, what it gives."""
    water = picture.get("water")
    (_, machine), (_, sale), *rows = screens.status_rows(picture["status"], say)
    odd = [row for row in rows if row[1].style in (BAD, WARN)]
    usual = [row for row in rows if row not in odd]
    shown = [_state(machine.plain, sale, odd, f"{at} {say('Ctrl-C ends')}"), _faults(picture["faults"], say)]
    if water is not None:
        shown.append(_water(water, picture["sensors"], say))
    if picture["aisles"] or water is None:
        shown.append(_aisles(picture["aisles"], say))
    earlier = {line["url"]: line["slaves"] for line in before["bus"]} if before else {}
    shown += [_line_of(line, earlier.get(line["url"], {}), over_ms, say) for line in picture["bus"]]
    return [*shown, Section(say("Machine"), [_labelled(*row) for row in usual])]


def _state(machine: str, sale: Text, odd: Sequence[tuple[str, Text]], aside: str) -> Section:
    return Section(machine, [sale, *(_labelled(*row) for row in odd)], vital=1 + len(odd), aside=aside)


def _faults(faults: Sequence[Mapping[str, Any]], say: Speech) -> Section:
    if not faults:
        return Section(say("Faults"), [Text(say("no fault holds"), style=GOOD)])
    cells = [
        Text()
        .append(say.word(fault["code"], "fault"), style=BAD)
        .append(f"  {fault['code']} {fault['scope']}  {say.sentence(fault.get('detail', ''))}".rstrip())
        for fault in faults
    ]
    return Section(f"{say('Faults')} {len(faults)}", cells, vital=FAULTS_VITAL, alone=True)


def _water(water: Mapping[str, Any], sensors: Mapping[str, Any], say: Speech) -> Section:
    """Whether it is given, then the filters and the probes; probes that the machine does not have come last."""
    (_, gives), (_, display), *rows = screens.water_rows(water, say)
    pouring = [] if water["pouring_ml"] is None else [Text(f"{say('pouring')} {water['pouring_ml']} ml", style=GOOD)]
    # Where no water is given, the display says just that.
    said = [display] if water["giving"] else []
    filters = [
        Text(f"{one['position']} {one['name']} ").append_text(screens.filter_left(one)) for one in water["filters"]
    ]
    probes = sorted(screens.probe_rows(sensors, say), key=lambda row: row[1].style == screens.QUIET)
    cells = [gives, *pouring, *said, *filters, *(_labelled(*row) for row in (*rows, *probes))]
    return Section(say("Water"), cells, vital=len(cells) - len(rows) - len(probes))


def _aisles(aisles: Sequence[Mapping[str, Any]], say: Speech) -> Section:
    """One cell per aisle: its name and how many lie there, x when closed."""
    if not aisles:
        return Section(say("Aisles"), [Text(say("no planogram yet"))])
    closed = sum(row["locked"] is not None for row in aisles)
    title = f"{say('Aisles')} {len(aisles)}" + (f", {say('{closed} closed', closed=closed)}" if closed else "")
    return Section(title, [_aisle(row) for row in aisles])


def _aisle(row: Mapping[str, Any]) -> Text:
    if row["locked"] is not None:
        return Text(f"{row['aisle']} x", style=BAD)
    level = min(row["on_hand"], LEVEL_MAX)
    return Text(f"{row['aisle']} {level}", style=GOOD if level > LOW else WARN if level else BAD)


def _line_of(line: Mapping[str, Any], earlier: Mapping[str, Any], over_ms: int, say: Speech) -> Section:
    """A line by the end of its name, and each of its slaves: how often it is asked, how fast it answers."""
    cells = [
        _slave(slave, seen, earlier.get(slave), over_ms, say)
        for slave, seen in sorted(line["slaves"].items(), key=lambda item: int(item[0]))
    ]
    if line["down"] is not None:
        cells = [Text(f"{say('down')}: {say.sentence(line['down'])}", style=BAD)]
    return Section(f"{say('Line')} {line['url'].rpartition('/')[2]}", cells)


def _slave(slave: str, seen: Mapping[str, Any], known: Mapping[str, Any] | None, over_ms: int, say: Speech) -> Text:
    rate = screens.asked_per_s(seen, known, over_ms)
    told = Text(f"{slave}: {f'{rate}/s ' if rate else ''}{round(seen['latency_ms_mean'])} ms")
    for word, count in (("Silent", seen["silent"]), ("Late", seen["late"])):
        if count:
            told.append(f" {say(word)} {count}", style=WARN)
    if seen["breaker"] != "closed":
        told.append(f" {say.word(str(seen['breaker']), 'breaker')}", style=BAD)
    return told


def _labelled(label: str, value: Text) -> Text:
    return Text().append(f"{label} ", style=screens.QUIET).append_text(value)
