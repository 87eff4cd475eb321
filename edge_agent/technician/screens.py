"""What the agent answers, as tables for people. Every function takes an answer and gives a picture; none asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from edge_agent.technician.speech import Speech
from shared.quantities import format_yuan

Answer = Mapping[str, Any]

DAY_MS: Final = 24 * 3_600_000

# The probes of a purifier and their units.
PROBES: Final[Mapping[str, str]] = {
    "tds_in_ppm": "ppm",
    "tds_out_ppm": "ppm",
    "rejection_percent": "%",
    "pressure_kpa": "kPa",
    "level_mm": "mm",
    "temperature_tenths_c": "°C",
}

GOOD, WARN, BAD, QUIET = "green", "yellow", "red", "dim"


def table(*columns: str, title: str | None = None) -> Table:
    """An empty table in the style of the command."""
    made = Table(*columns, title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in made.columns:
        column.overflow = "fold"
    return made


def moment(wall_ms: int) -> str:
    """A wall-clock time in the zone of this computer."""
    return datetime.fromtimestamp(wall_ms / 1000, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def size(count: int) -> str:
    """Bytes for people."""
    return f"{count / 2**30:.1f} GB" if count >= 2**30 else f"{count / 2**20:.0f} MB"


def yes_no(value: bool, say: Speech) -> str:
    """A fact in one word."""
    return say("yes") if value else say("no")


def selling(status: Answer, say: Speech) -> Text:
    """Whether the machine sells, and if not, why."""
    if status["selling"]:
        return Text(say("selling"), style=GOOD)
    return Text(f"{say('not selling')}: {say.sentence(status['reason'])}", style=BAD)


def connected(status: Answer, say: Speech) -> str:
    """Whether the cloud can be reached, and if not, why the last try ended."""
    if status["connected"]:
        return say("connected")
    because = say.sentence(status["not_connected_because"])
    return f"{say('not connected')}: {because}" if because else say("not connected")


def status_rows(answer: Answer, say: Speech) -> list[tuple[str, Text]]:
    """What there is to know of a machine, with its labels; the name and the sale come first."""
    down = {str(board): reason for board, reason in answer["boards_down"].items()}
    boards = Text(say("all answer"), style=GOOD)
    if down:
        boards = Text("; ".join(f"{board}: {say.sentence(reason)}" for board, reason in down.items()), style=BAD)
    config = str(answer["config_version"]) if answer["config_version"] else say("none yet")
    return [
        (say("Machine"), Text(answer["machine"], style="bold")),
        (say("Sale"), selling(answer, say)),
        (say("Busy now"), Text(yes_no(answer["busy"], say))),
        (say("Boards"), boards),
        (say("Door"), Text(say("open"), style=WARN) if answer["door_open"] else Text(say("shut"))),
        (say("Temperature"), Text(say.word(answer["temperature"], "band"))),
        (say("Cloud"), Text(connected(answer, say), style=GOOD if answer["connected"] else WARN)),
        (say("Facts waiting"), Text(str(answer["facts_waiting"]))),
        (say("Configuration"), Text(config)),
        (say("Disk free"), Text(size(answer["disk_free_bytes"]))),
        (say("Ledger"), Text(answer["epoch"])),
    ]


def status(answer: Answer, say: Speech) -> RenderableType:
    """The machine in a dozen lines."""
    return _grid(status_rows(answer, say))


def _grid(rows: Sequence[tuple[str, Text]]) -> Table:
    grid = Table.grid(padding=(0, 2))
    for label, value in rows:
        grid.add_row(label, value)
    return grid


def aisles(answer: Sequence[Answer], say: Speech) -> RenderableType:
    """One line per aisle."""
    made = table(
        say("Aisle"), say("Board"), say("Motor"), say("Goods"), say("Price"), say("On hand"), say("Held"), say("Closed")
    )
    for row in answer:
        closed = Text(say.word(row["locked"]) or say("yes"), style=BAD) if row["locked"] is not None else ""
        style = WARN if row["on_hand"] == 0 else ""
        made.add_row(
            row["aisle"],
            str(row["board"]),
            str(row["motor"]),
            row["goods"],
            format_yuan(row["price_fen"]),
            Text(str(row["on_hand"]), style=style),
            str(row["held"] or ""),
            closed,
        )
    return made


def faults(answer: Sequence[Answer], say: Speech) -> RenderableType:
    """What stops or limits service now."""
    if not answer:
        return Text(say("no fault holds"), style=GOOD)
    made = table(say("Fault"), say("Code"), say("Where"), say("Detail"))
    for fault in answer:
        detail = fault.get("detail", "")
        made.add_row(
            Text(say.word(fault["code"], "fault"), style=BAD), fault["code"], fault["scope"], say.sentence(detail)
        )
    return made


def bus(answer: Sequence[Answer], say: Speech, *, before: Sequence[Answer] = (), over_ms: int = 0) -> RenderableType:
    """Every line and its slaves. With an earlier answer, `over_ms` ago, also how often each is asked a second."""
    earlier = {line["url"]: line["slaves"] for line in before}
    made = table(
        say("Line"),
        say("Slave"),
        say("per s"),
        say("Asked"),
        say("Silent"),
        say("Late"),
        say("Mean ms"),
        say("Max ms"),
        say("Breaker"),
    )
    for line in answer:
        for slave, seen in sorted(line["slaves"].items(), key=lambda item: int(item[0])):
            known = earlier.get(line["url"], {}).get(slave)
            rate = asked_per_s(seen, known, over_ms)
            made.add_row(
                line["url"],
                slave,
                rate,
                str(seen["asked"]),
                Text(str(seen["silent"]), style=WARN if seen["silent"] else ""),
                Text(str(seen["late"]), style=WARN if seen["late"] else ""),
                str(round(seen["latency_ms_mean"])),
                str(seen["latency_ms_max"]),
                Text(say.word(str(seen["breaker"]), "breaker"), style=GOOD if seen["breaker"] == "closed" else BAD),
            )
    return Group(made, *(_line(line, say) for line in answer))


def asked_per_s(seen: Answer, known: Answer | None, over_ms: int) -> str:
    """How often a slave is asked a second, by what was known of it `over_ms` ago; nothing where that is not known."""
    return f"{1000 * (seen['asked'] - known['asked']) / over_ms:.1f}" if known and over_ms else ""


def _line(line: Answer, say: Speech) -> Text:
    counts = f"{say('noise bytes')} {line['noise_bytes']}, {say('strays')} {line['strays']}"
    opened = f"{say('opened')} {line['openings']}"
    if line["down"] is not None:
        return Text(f"{line['url']}: {say('down')}: {say.sentence(line['down'])}", style=BAD)
    return Text(f"{line['url']}: {opened}, {say('waiting')} {line['waiting']}, {counts}", style=QUIET)


def outbox(answer: Answer, say: Speech) -> RenderableType:
    """What waits for the cloud."""
    summary = Text(
        f"{say('Facts waiting')} {answer['waiting']}{'+' if answer['more'] else ''}, "
        f"{say('the cloud has everything up to')} {answer['acked']}, {say('next number')} {answer['next_seq']}"
    )
    if not answer["waiting"]:
        return summary
    kinds = table(say("Kind"), say("How many"))
    for kind, count in sorted(answer["kinds"].items(), key=lambda item: -item[1]):
        kinds.add_row(kind, str(count))
    oldest = table(say("Number"), say("Kind"), say("When"), say("Clock"))
    for fact in answer["facts"]:
        oldest.add_row(str(fact["seq"]), fact["type"], moment(fact["wall_ms"]), say.word(fact["clock_state"]))
    return Group(summary, kinds, oldest)


def reviews(answer: Sequence[Answer], say: Speech) -> RenderableType:
    """Vends that a person has to decide."""
    if not answer:
        return Text(say("nothing waits for a decision"), style=GOOD)
    made = table(say("Order"), say("Aisle"), say("Why"))
    for row in answer:
        made.add_row(row["order"], row["aisle"], say.word(row["reason"]))
    return made


def visit(answer: Answer | None, say: Speech) -> RenderableType:
    """The visit that goes on."""
    if answer is None:
        return Text(say("no visit goes on"))
    lines = [f"{answer['person']}, {say('since')} {moment(answer['began_wall_ms'])}"]
    return Text("\n".join([*lines, *(f"  {action}" for action in answer["actions"])]))


def probe_rows(answer: Answer, say: Speech) -> list[tuple[str, Text]]:
    """What the probes of a purifier said last, with their names."""
    rows = []
    for name, unit in PROBES.items():
        value = answer.get(name)
        shown = f"{value / 10:.1f}" if unit == "°C" and value is not None else str(value)
        told = Text(say("no reading"), style=QUIET) if value is None else Text(f"{shown} {unit}")
        rows.append((say.word(name), told))
    return rows


def sensors(answer: Answer, say: Speech) -> RenderableType:
    """The probes as a table."""
    made = table(say("Probe"), say("Value"))
    for name, told in probe_rows(answer, say):
        made.add_row(name, told)
    return made


def truth(answer: Answer, say: Speech) -> RenderableType:
    """What the simulator of the demo knows of its water; litres by its own account, not by the meter's."""
    water = answer["water"]
    litres = {name: f"{water[name + '_ul'] / 1e6:.3f} L" for name in ("poured", "leaked", "metered", "tank")}
    rows = [
        (say("came out"), litres["poured"]),
        (say("was lost"), litres["leaked"]),
        (say("the meter counted"), f"{litres['metered']}, {water['pulses']}"),
        (say("is in the tank"), f"{litres['tank']}, {water['pressure_kpa']} kPa"),
        (say("TDS before and behind the membrane"), f"{water['tds_in_ppm']} / {water['tds_out_ppm']} ppm"),
        (say("of the membrane's life is over"), f"{water['membrane_worn_percent']} %"),
    ]
    for relay, outlet in water["outlets"].items():
        rows.append((f"{say('valve')} {relay}", say("shut") if outlet["motion"] == "shut" else say("open")))
    rows.append((say("products fell"), str(answer["totals"]["fell"])))
    return _grid([(label, Text(value)) for label, value in rows])


def giving(answer: Answer, say: Speech) -> Text:
    """Whether water is given, and if not, why."""
    if answer["giving"]:
        return Text(say("water is given"), style=GOOD)
    return Text(f"{say('no water')}: {answer['display'][say.language]}", style=BAD)


def water_rows(answer: Answer, say: Speech) -> list[tuple[str, Text]]:
    """Whether water is given, what the display says, and under which plan."""
    rows = [(say("Water"), giving(answer, say)), (say("Display"), Text(answer["display"][say.language]))]
    if (plan := answer["plan"]) is not None:
        left = [] if plan["left_ml"] is None else [f"{max(0, plan['left_ml']) / 1000:.1f} L"]
        left += [] if plan["left_ms"] is None else [f"{days_left(plan['left_ms'])} {say('days')}"]
        rows.append(
            (say("Plan"), Text(f"{plan['plan']} ({say.word(plan['mode'], 'plan')}) {', '.join(left)}".rstrip()))
        )
    rows.append((say("Meter factor"), Text(f"{answer['pulses_per_litre_milli'] / 1000:.3f} / L")))
    return rows


def water(answer: Answer, say: Speech) -> RenderableType:
    """Whether water is given, under which plan, and how long the filters serve."""
    grid = _grid(water_rows(answer, say))
    return Group(grid, _filters(answer["filters"], say)) if answer["filters"] else grid


def filter_left(one: Answer) -> Text:
    """How much of a filter's life is left."""
    return Text(f"{one['percent_left']} %", style={"good": GOOD, "near_end": WARN}.get(one["condition"], BAD))


def days_left(left_ms: int) -> int:
    """As the display counts: the day that runs is one; none after the end."""
    return 0 if left_ms <= 0 else left_ms // DAY_MS + 1


def _filters(filters: Sequence[Answer], say: Speech) -> RenderableType:
    made = table(say("Place"), say("Filter"), say("Left"), say("Powered h"), say("Worked h"), say("Litres"))
    for one in filters:
        made.add_row(
            str(one["position"]),
            one["name"],
            filter_left(one),
            str(one["powered_hours"]),
            str(one["worked_hours"]),
            str(one["litres"]),
        )
    return made


def pours(answer: Sequence[Answer], say: Speech) -> RenderableType:
    """The last pours, newest first."""
    made = table(
        say("Order"), say("Outlet"), say("Asked ml"), say("Poured ml"), say("Charged"), say("State"), say("Why")
    )
    for row in answer:
        made.add_row(
            row["order"],
            say.word(row["outlet"], "outlet"),
            str(row["asked_ml"]),
            "" if row["poured_ml"] is None else str(row["poured_ml"]),
            "" if row["charged_fen"] is None else format_yuan(row["charged_fen"]),
            say.word(row["state"], "pour"),
            say.sentence(row["doubt"]) or say.word(row["reason"]),
        )
    return made
