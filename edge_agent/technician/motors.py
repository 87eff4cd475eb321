"""Test runs of one motor or of all of them, and what currents and times say about a motor among its neighbours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, Final, Literal

from rich.console import Group, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from edge_agent.errors import Refused
from edge_agent.technician import desk as desks
from edge_agent.technician.desk import Desk
from edge_agent.technician.screens import BAD, GOOD, WARN, table
from edge_agent.technician.speech import Speech

Run = Mapping[str, Any]

# A motor is odd when it draws or takes so much more, or less, than the median of its board's good runs.
ODD_PERCENT: Final = 50
# Fewer good runs make no median worth comparing with.
RUNS_TO_COMPARE: Final = 3

Oddity = Literal["heavy", "light", "slow", "quick"]


def is_fine(run: Run) -> bool:
    """Whether a test run showed what it should: a drop, or a sound motor over an empty aisle."""
    return run["result"] == "ok" and (run["outcome"] == "delivered" or run.get("on_hand") == 0)


def oddities(runs: Sequence[Run]) -> dict[str, list[Oddity]]:
    """Aisles whose motor stands out among the good runs of its board: current in mA, time in ms."""
    found: dict[str, list[Oddity]] = {}
    for board in {run["board"] for run in runs}:
        good = [run for run in runs if run["board"] == board and run["result"] == "ok"]
        if len(good) < RUNS_TO_COMPARE:
            continue
        current = median(run["avg_current_ma"] for run in good)
        time = median(run["run_time_ms"] for run in good)
        for run in good:
            told: list[Oddity] = []
            told += _compared(run["avg_current_ma"], current, "heavy", "light")
            told += _compared(run["run_time_ms"], time, "slow", "quick")
            if told:
                found[run["aisle"]] = told
    return found


def _compared(value: int, usual: float, more: Oddity, less: Oddity) -> list[Oddity]:
    if value * 100 > usual * (100 + ODD_PERCENT):
        return [more]
    return [less] if value * 100 < usual * (100 - ODD_PERCENT) else []


async def test_aisle(desk: Desk, aisle: str) -> int:
    """Turn one motor; 0 when it delivered and its board has nothing to say against it."""
    run = await desk.ask("test_aisle", aisle=aisle)
    desk.tell(run, lambda: picture([run], {}, desk.say))
    return desks.OK if run["outcome"] == "delivered" and is_fine(run) else desks.FAILED


async def sweep(desk: Desk, *, boards: Sequence[int], aisles: Sequence[str], sure: bool) -> int:
    """Turn all motors (or those of some boards or aisles), one after the other; 0 when all are fine."""
    rows = await desk.ask("aisles")
    known = {row["aisle"] for row in rows}
    if missing := [aisle for aisle in aisles if aisle not in known]:
        raise Refused("aisle_closed", desk.say("there is no aisle {aisle}", aisle=", ".join(missing)))
    chosen = [row for row in rows if (not boards or row["board"] in boards) and (not aisles or row["aisle"] in aisles)]
    if not chosen:
        raise Refused("aisle_closed", desk.say("there is nothing to turn: no planogram, or no such board"))
    if not sure and not desk.confirm(
        desk.say("{count} motors turn, and what falls is booked out. Go on?", count=len(chosen))
    ):
        raise Refused("not_confirmed", desk.say("nothing was turned: say yes, or give --yes"))
    runs = await _turn_all(desk, chosen)
    odd = oddities([run for run in runs if "result" in run])
    report = [{**run, "odd": odd.get(run["aisle"], [])} for run in runs]
    desk.tell(report, lambda: picture(report, odd, desk.say))
    return desks.OK if all("outcome" in run and is_fine(run) for run in runs) else desks.FAILED


async def _turn_all(desk: Desk, rows: Sequence[Run]) -> list[Run]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    runs: list[Run] = []
    with Progress(*columns, console=desk.margin, transient=True, disable=not desk.margin.is_terminal) as progress:
        task = progress.add_task(desk.say("turning"), total=len(rows))
        for row in rows:
            progress.update(task, description=f"{desk.say('turning')} {row['aisle']}")
            place = {"aisle": row["aisle"], "board": row["board"], "motor": row["motor"], "on_hand": row["on_hand"]}
            try:
                runs.append(place | await desk.ask("test_aisle", aisle=row["aisle"]))
            except Refused as refused:
                runs.append(place | {"refused": refused.reason, "detail": refused.detail})
            progress.advance(task)
    return runs


def picture(runs: Sequence[Run], odd: Mapping[str, Sequence[Oddity]], say: Speech) -> RenderableType:
    """The report: one line per motor and a last line with the sum."""
    made = table(
        say("Aisle"), say("Outcome"), say("Motor"), say("Drop"), say("Max mA"), say("Mean mA"), say("ms"), say("Note")
    )
    for run in runs:
        _row(made, run, odd.get(run["aisle"], ()), say)
    fine = sum("outcome" in run and is_fine(run) for run in runs)
    summary = say("{fine} of {count} motors are fine", fine=fine, count=len(runs))
    return Group(made, Text(summary, style=GOOD if fine == len(runs) else WARN))


def _row(made: Table, run: Run, odd: Sequence[Oddity], say: Speech) -> None:
    if "refused" in run:
        made.add_row(run["aisle"], Text(say("refused"), style=BAD), "", "", "", "", "", say.sentence(run["detail"]))
        return
    style = GOOD if is_fine(run) else BAD
    drop = {True: say("seen"), False: say("none"), None: say("not looked for")}[run["drop_seen"]]
    notes = [say.word(oddity) for oddity in odd]
    if run["reason"]:
        notes.append(say.word(run["reason"]))
    if run["drop_seen"] and not run["booked"]:
        notes.append(say("not booked out: the ledger had none, count this aisle"))
    if run.get("on_hand") == 0 and not run["drop_seen"]:
        notes.append(say("empty, so nothing could fall"))
    made.add_row(
        run["aisle"],
        Text(say.word(run["outcome"]), style=style),
        say.word(run["result"] or "") or "-",
        drop,
        str(run["max_current_ma"]),
        str(run["avg_current_ma"]),
        str(run["run_time_ms"]),
        "; ".join(notes),
    )
