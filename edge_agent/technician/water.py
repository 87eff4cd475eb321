"""Words of a purifier: pour, water, sensors, calibrate."""

from __future__ import annotations

import re
import sys
from argparse import ArgumentTypeError, Namespace
from typing import Any, Final
from uuid import uuid4

from rich.console import RenderableType

from edge_agent.errors import Refused
from edge_agent.technician import desk as desks
from edge_agent.technician import screens
from edge_agent.technician.desk import Desk
from edge_agent.technician.speech import Speech
from edge_agent.technician.words import YES, Number, Word, argument
from edge_agent.vocabulary.asks import ML_MAX, POSITION_MAX, RUNS_MAX

WARMTHS: Final = ("normal", "cold", "warm", "hot")

# Three runs show how far they lie apart; more cost water.
RUNS_DEFAULT: Final = 3
# A pour may be doubtful for once (air, a busy line); then something is wrong.
POURS_PER_RUN_MAX: Final = 3
# One litre fits into the measuring jug that a technician carries.
MEASURED_ML_DEFAULT: Final = 1_000


async def _pour(desk: Desk, asked: Namespace) -> int:
    answer = await _pour_at_service(desk, asked.outlet, asked.ml)
    desk.tell(answer, lambda: _poured(desk, answer))
    given = answer["state"] == "ended" and answer["reason"] in ("target", "stopped")
    return desks.OK if given else desks.FAILED


async def _pour_at_service(desk: Desk, outlet: str, ml: int) -> dict[str, Any]:
    """Every call is a press of its own: asking twice pours twice, as at a button."""
    answer: dict[str, Any] = await desk.ask(
        "pour", press=f"service-{uuid4().hex[:16]}", outlet=outlet, ml=ml, service=True
    )
    return answer


def _poured(desk: Desk, answer: dict[str, Any]) -> str:
    reason = desk.say.word(answer["reason"] or "")
    told = f"{answer['order']}: {answer['poured_ml']} ml, {desk.say.word(answer['state'], 'pour')} ({reason})"
    return f"{told}\n{desk.say.sentence(answer['doubt'])}" if answer["doubt"] else told


async def _stop(desk: Desk, _: Namespace) -> int:
    answer = await desk.ask("stop")
    desk.tell(answer, lambda: desk.say("stopped") if answer["stopped"] else desk.say("no pour runs"))
    return desks.OK


async def _pours(desk: Desk, _: Namespace) -> int:
    answer = await desk.ask("pours")
    desk.tell(answer, lambda: screens.pours(answer, desk.say))
    return desks.OK


async def _water(desk: Desk, _: Namespace) -> int:
    answer = await desk.ask("water")
    desk.tell(answer, lambda: screens.water(answer, desk.say))
    return desks.OK


async def _sensors(desk: Desk, _: Namespace) -> int:
    answer = await desk.ask("sensors")
    desk.tell(answer, lambda: screens.sensors(answer, desk.say))
    return desks.OK


async def _new_filter(desk: Desk, asked: Namespace) -> int:
    question = desk.say("A new cartridge is in place {position}? Its hours begin at zero.", position=asked.position)
    if not asked.yes and not desk.confirm(question):
        raise Refused("not_confirmed", desk.say("put it in first, or give --yes"))
    answer = await desk.ask("change_filter", position=asked.position)
    desk.tell(answer, lambda: desk.say("place {position}: a new cartridge serves", position=asked.position))
    return desks.OK


async def _calibrate(desk: Desk, asked: Namespace) -> int:
    """Pour, let the person measure, and set the factor; `--measured` takes runs that were poured before."""
    measured = asked.measured
    if not measured:
        measured = [await _measured_pour(desk, asked, number) for number in range(1, asked.runs + 1)]
    answer = await desk.ask("calibrate", runs=measured)
    desk.tell(answer, lambda: _calibrated(desk, answer))
    return desks.OK


async def _check_meter(desk: Desk, asked: Namespace) -> int:
    run = asked.measured or await _measured_pour(desk, asked, 1)
    answer = await desk.ask("calibrate", runs=[run], check=True)
    percent = f"{answer['off_ppm'] / 10_000:+.2f}"
    desk.tell(answer, lambda: desk.say("the meter is off by {percent} %", percent=percent))
    return desks.OK


def _calibrated(desk: Desk, answer: dict[str, Any]) -> RenderableType:
    factor = f"{answer['pulses_per_litre_milli'] / 1000:.3f}"
    spread = f"{answer['spread_ppm'] / 10_000:.2f}"
    return desk.say(
        "factor {factor} per litre from {runs} runs, {spread} % apart",
        factor=factor,
        runs=answer["runs"],
        spread=spread,
    )


class MeasuredPour:
    """What an argument takes that names a pour and what a person measured of it: `POUR=ML`."""

    @staticmethod
    def read(say: Speech, text: str) -> dict[str, Any]:
        """The pour as the agent is asked, or argparse's error."""
        found = re.fullmatch(r"(?a:(\w[\w-]*)=(\d{1,9}))", text)
        if found is None or not 1 <= int(found[2]) <= ML_MAX:
            raise ArgumentTypeError(
                say(
                    "{text}: expected POUR=MILLILITRES, 1 to {most}, as aislectl pour prints them",
                    text=text,
                    most=ML_MAX,
                )
            )
        return {"order": found[1], "ml": int(found[2])}


async def _measured_pour(desk: Desk, asked: Namespace, number: int) -> dict[str, Any]:
    """One guided run: a jug under the outlet, a pour, and what the person reads off the jug or the scale."""
    if not sys.stdin.isatty():
        raise Refused(
            "nobody_measures", desk.say("calibrate asks a person at a terminal; without one give --measured POUR=ML")
        )
    for tried in range(1, POURS_PER_RUN_MAX + 1):
        desk.margin.print(desk.say("Run {number}: put an empty jug under the outlet, then press Enter.", number=number))
        sys.stdin.readline()
        answer = await _pour_at_service(desk, asked.outlet, asked.ml)
        if answer["state"] == "ended":
            break
        if tried == POURS_PER_RUN_MAX:
            raise Refused("not_measurable", _poured(desk, answer))
        desk.margin.print(f"{_poured(desk, answer)}: {desk.say('not to be measured by, once more')}")
    while True:
        desk.margin.print(desk.say("How many millilitres are in the jug (grams on a scale)?"), end=" ")
        text = sys.stdin.readline()
        if not text:
            raise Refused("nobody_measures", desk.say("nothing was entered"))
        if text.strip().isdecimal():
            return {"order": answer["order"], "ml": int(text)}


VOLUME: Final = Number(1, ML_MAX)
OUTLET = argument("--outlet", about="which temperature", choices=WARMTHS, default="normal")

WORDS: Final = (
    Word(
        "pour",
        "pour water for a test; it counts in no plan",
        _pour,
        (argument("ml", about="how many millilitres", type=VOLUME), OUTLET),
    ),
    Word("stop", "end the pour that runs", _stop),
    Word("sensors", "what the probes of the purifier say", _sensors),
    Word("water", "plan, filters and what the display says", _water),
    Word("pours", "the last pours", _pours),
    Word(
        "new-filter",
        "a new cartridge was put in",
        _new_filter,
        (argument("position", about="which place", type=Number(1, POSITION_MAX)), YES),
    ),
    Word(
        "calibrate",
        "set the meter's factor from measured pours",
        _calibrate,
        (
            OUTLET,
            argument("--ml", about="how much to pour each time", type=VOLUME, default=MEASURED_ML_DEFAULT),
            argument("--runs", about="how many pours", type=Number(1, RUNS_MAX), default=RUNS_DEFAULT),
            argument(
                "--measured",
                about="a pour that was measured already; may be repeated",
                type=MeasuredPour,
                action="append",
                metavar="POUR=ML",
            ),
        ),
    ),
    Word(
        "check-meter",
        "hold the meter against one measured pour",
        _check_meter,
        (
            OUTLET,
            argument("--ml", about="how much to pour", type=VOLUME, default=MEASURED_ML_DEFAULT),
            argument("--measured", about="a pour that was measured already", type=MeasuredPour, metavar="POUR=ML"),
        ),
    ),
)
