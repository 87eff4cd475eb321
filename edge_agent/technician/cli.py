"""`aislectl`: the words, as one table, and the end of every call as an exit code."""

from __future__ import annotations

import argparse
import asyncio
import os
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from edge_agent.errors import AgentError, Refused
from edge_agent.technician import bundle, completion, demo, doctor, live, motors, profiles, screens, water
from edge_agent.technician import desk as desks
from edge_agent.technician.desk import Desk, NotWritten
from edge_agent.technician.speech import Speech, chosen_language
from edge_agent.technician.words import YES, Number, Word, argument, taken
from edge_agent.vocabulary.asks import EVERY_MS_MAX, EVERY_MS_MIN, QUANTITY_MAX
from shared.clock import SystemClock

# `bus` looks twice, so far apart, to tell a rate.
RATE_MS = 1_000


# --- words of one question ---


async def _status(desk: Desk, _: Namespace) -> int:
    answer = await desk.ask("status")
    desk.tell(answer, lambda: screens.status(answer, desk.say))
    return desks.OK


async def _aisles(desk: Desk, _: Namespace) -> int:
    answer = await desk.ask("aisles")
    desk.tell(answer, lambda: screens.aisles(answer, desk.say))
    return desks.OK


async def _faults(desk: Desk, _: Namespace) -> int:
    answer = await desk.ask("faults")
    desk.tell(answer, lambda: screens.faults(answer, desk.say))
    return desks.OK


async def _outbox(desk: Desk, _: Namespace) -> int:
    answer = await desk.ask("outbox")
    desk.tell(answer, lambda: screens.outbox(answer, desk.say))
    return desks.OK


async def _reviews(desk: Desk, _: Namespace) -> int:
    answer = await desk.ask("reviews")
    desk.tell(answer, lambda: screens.reviews(answer, desk.say))
    return desks.OK


async def _bus(desk: Desk, _: Namespace) -> int:
    async with desk.agent() as agent:
        before = await agent.ask("bus")
        await SystemClock().sleep_ms(RATE_MS)
        answer = await agent.ask("bus")
    desk.tell(answer, lambda: screens.bus(answer, desk.say, before=before, over_ms=RATE_MS))
    return desks.OK


async def _watch(desk: Desk, asked: Namespace) -> int:
    return await live.watch(desk, every_ms=round(asked.every * 1000), count=asked.count)


# --- words that change something ---


async def _load(desk: Desk, asked: Namespace) -> int:
    answer = await desk.ask("load", aisle=asked.aisle, quantity=asked.quantity)
    desk.tell(answer, lambda: f"{asked.aisle}: {desk.say('on hand')} {answer['on_hand']}")
    return desks.OK


async def _count(desk: Desk, asked: Namespace) -> int:
    answer = await desk.ask("count", aisle=asked.aisle, counted=asked.counted)
    difference = f"{answer['difference']:+d}" if answer["difference"] else "0"
    desk.tell(answer, lambda: f"{asked.aisle}: {desk.say('difference to the ledger')} {difference}")
    return desks.OK


async def _lock(desk: Desk, asked: Namespace) -> int:
    answer = await desk.ask("lock", aisle=asked.aisle, locked=True, reason=asked.reason)
    desk.tell(answer, lambda: f"{asked.aisle}: {desk.say('closed for sale')}")
    return desks.OK


async def _unlock(desk: Desk, asked: Namespace) -> int:
    answer = await desk.ask("lock", aisle=asked.aisle, locked=False)
    desk.tell(answer, lambda: f"{asked.aisle}: {desk.say('open for sale')}")
    return desks.OK


async def _clear(desk: Desk, asked: Namespace) -> int:
    holding = await desk.ask("faults")
    scopes = [
        fault["scope"] for fault in holding if fault["code"] == asked.code and asked.scope in (None, fault["scope"])
    ]
    if not scopes:
        raise Refused("no_such_fault", desk.say("no such fault holds: see aislectl faults"))
    for scope in scopes:
        await desk.ask("clear", code=asked.code, scope=scope)
    desk.tell({"cleared": scopes}, lambda: f"{asked.code}: {desk.say('cleared')} ({', '.join(scopes)})")
    return desks.OK


async def _confirm_ledger(desk: Desk, asked: Namespace) -> int:
    if not asked.yes and not desk.confirm(desk.say("Has the stock of every aisle been counted?")):
        raise Refused("not_confirmed", desk.say("count every aisle first, or give --yes"))
    answer = await desk.ask("confirm_ledger")
    desk.tell(answer, lambda: desk.say("confirmed: the machine may sell again"))
    return desks.OK


async def _test_aisle(desk: Desk, asked: Namespace) -> int:
    return await motors.test_aisle(desk, asked.aisle)


async def _sweep(desk: Desk, asked: Namespace) -> int:
    return await motors.sweep(desk, boards=asked.board or (), aisles=asked.aisle or (), sure=asked.yes)


async def _visit_start(desk: Desk, asked: Namespace) -> int:
    answer = await desk.ask("visit_start", name=asked.name)
    desk.tell(answer, lambda: f"{desk.say('the visit begins')}: {answer['person']}")
    return desks.OK


async def _visit_end(desk: Desk, _: Namespace) -> int:
    answer = await desk.ask("visit_end")
    minutes = answer["duration_ms"] // 60_000
    told = desk.say(
        "the visit is recorded: {count} actions in {minutes} minutes", count=len(answer["actions"]), minutes=minutes
    )
    desk.tell(answer, lambda: told)
    return desks.OK


async def _visit_show(desk: Desk, _: Namespace) -> int:
    answer = await desk.ask("visit")
    desk.tell(answer, lambda: screens.visit(answer, desk.say))
    return desks.OK


async def _doctor(desk: Desk, _: Namespace) -> int:
    return await doctor.doctor(desk)


async def _bundle(desk: Desk, asked: Namespace) -> int:
    return await bundle.bundle(desk, None if asked.file is None else Path(asked.file))


async def _completion(desk: Desk, asked: Namespace) -> int:
    desk.write(completion.script(asked.shell, parser(desk.say)))
    return desks.OK


# A picture a second for a month; who wants more, leaves it out.
PICTURES = Number(1, 2_592_000)
EVERY_S = Number(EVERY_MS_MIN / 1000, EVERY_MS_MAX / 1000, float)
# As many as share one machine.
BOARD = Number(1, 4)
AISLE = argument("aisle", about="the name of the aisle, as in aislectl aisles")

WORDS: tuple[Word, ...] = (
    Word("status", "how the machine is", _status),
    Word(
        "watch",
        "the live screen",
        _watch,
        (
            argument("--every", about="seconds between two pictures", type=EVERY_S, default=1.0, metavar="SECONDS"),
            argument("--count", about="end after so many pictures", type=PICTURES, metavar="N"),
        ),
    ),
    Word("aisles", "what lies in every aisle", _aisles),
    Word("test-aisle", "turn one motor; what falls is booked out", _test_aisle, (AISLE,)),
    Word(
        "sweep",
        "turn all motors, and report currents and times",
        _sweep,
        (
            argument("--board", about="only this board; may be repeated", type=BOARD, action="append", metavar="N"),
            argument("--aisle", about="only this aisle; may be repeated", action="append", metavar="AISLE"),
            YES,
        ),
    ),
    Word(
        "load",
        "book items put into an aisle, or (negative) taken out",
        _load,
        (AISLE, argument("quantity", about="how many", type=Number(-QUANTITY_MAX, QUANTITY_MAX))),
    ),
    Word(
        "count",
        "book the counted number of items",
        _count,
        (AISLE, argument("counted", about="how many", type=Number(0, QUANTITY_MAX))),
    ),
    Word(
        "lock", "close an aisle for sale", _lock, (AISLE, argument("reason", about="why", nargs="?", default="closed"))
    ),
    Word("unlock", "open an aisle for sale", _unlock, (AISLE,)),
    *water.WORDS,
    Word("bus", "every line and slave: rate, errors, latency, breaker", _bus),
    Word("faults", "what stops or limits service now", _faults),
    Word(
        "clear",
        "say that a fault was looked at and is over",
        _clear,
        (
            argument("code", about="the code, as in aislectl faults"),
            argument("scope", about="an aisle, board-1 or machine; without it wherever it holds", nargs="?"),
        ),
    ),
    Word("reviews", "vends that a person has to decide", _reviews),
    Word("confirm-ledger", "the stock was counted after a damaged ledger", _confirm_ledger, (YES,)),
    Word("outbox", "what waits for the cloud", _outbox),
    Word(
        "visit",
        "your visit, told to the cloud as one sealed record",
        words=(
            Word("start", "begin a visit", _visit_start, (argument("--name", about="your name", default=""),)),
            Word("end", "end the visit and record it", _visit_end),
            Word("show", "the visit that goes on", _visit_show),
        ),
    ),
    profiles.WORD,
    Word("doctor", "look at everything and say what to do", _doctor),
    Word(
        "bundle",
        "one archive for whoever helps, without secrets",
        _bundle,
        (argument("file", about="where to write it", nargs="?"),),
    ),
    *demo.WORDS,
    Word(
        "completion",
        "print the completion script of a shell",
        _completion,
        (argument("shell", about="bash, zsh or fish", choices=completion.SHELLS),),
    ),
)


def parser(say: Speech) -> argparse.ArgumentParser:
    """The command line, in the person's language."""
    made = argparse.ArgumentParser(
        prog="aislectl",
        description=say("What a technician asks of a machine, beside it and without a network."),
        epilog=say(
            "exit codes: 0 done, 1 refused or failed, 2 wrong usage, 69 no agent, 78 wrong settings, 130 interrupted"
        ),
    )
    made.add_argument("--json", action="store_true", help=say("answers for programs"))
    made.add_argument("--socket", type=Path, metavar="PATH", help=say("the agent's socket"))
    made.add_argument(
        "--settings", type=Path, metavar="FILE", default=desks.settings_file(), help=say("the agent's settings file")
    )
    _add_words(made, WORDS, say)
    return made


def _add_words(made: argparse.ArgumentParser, words: Sequence[Word], say: Speech) -> None:
    places = made.add_subparsers(metavar=say("WORD"), required=True, title=say("words"))
    for word in words:
        about = say(word.about)
        below = places.add_parser(word.name, help=about, description=about)
        # Also after the word, where people write it; without a default, so that it hides none given before.
        below.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help=say("answers for programs"))
        for one in word.arguments:
            below.add_argument(*one.names, **taken(one, say))
        if word.words:
            _add_words(below, word.words, say)
        below.set_defaults(run=word.run)


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit code."""
    desks.stand_in_for_closed_streams()
    say = Speech(chosen_language())
    asked = parser(say).parse_args(arguments)
    paper, margin = desks.consoles()
    desk = Desk(say, paper, margin, asked.json, asked.settings, asked.socket)
    try:
        return int(asyncio.run(asked.run(desk, asked)))
    except AgentError as error:
        return _fail(desk, error)
    except NotWritten as error:
        return _unwritten(desk, error)
    except KeyboardInterrupt:
        return desks.INTERRUPTED


def _fail(desk: Desk, error: AgentError) -> int:
    code = desks.exit_code(error)
    reason = (
        error.reason
        if isinstance(error, Refused)
        else {desks.UNREACHABLE: "unreachable", desks.SETTINGS: "settings"}.get(code, "failed")
    )
    if not desk.as_json:
        desk.margin.print(f"aislectl: {desk.say.sentence(str(error))}", markup=False, soft_wrap=True)
        return code
    try:
        desk.tell({"error": {"reason": reason, "detail": str(error)}}, str)
    except NotWritten as unwritten:
        return _unwritten(desk, unwritten)
    return code


def _unwritten(desk: Desk, unwritten: NotWritten) -> int:
    """Whoever read us has seen enough; or the answer's file lies on a full disk, and somebody must hear of it."""
    # What is buffered would only fail once more, when Python ends.
    os.dup2(os.open(os.devnull, os.O_WRONLY), desks.STANDARD_OUTPUT)
    error = unwritten.__cause__
    if isinstance(error, BrokenPipeError):
        return desks.OK
    why = desk.say.sentence(error.strerror if isinstance(error, OSError) else "")
    desk.margin.print(f"aislectl: {desk.say('the answer cannot be written')}: {why}", markup=False, soft_wrap=True)
    return desks.FAILED
