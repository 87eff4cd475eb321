"""The command at a terminal, as a person sees it: every word on the demo's machine, screens kept."""

from __future__ import annotations

import contextlib
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from rich.cells import cell_len

from tests.system.terminal import Terminal, terminal

AISLECTL = f"{sys.executable} -m edge_agent.technician"

# Two out of three would be bad luck, three of three a fault.
CALIBRATIONS_MAX = 3
# What the command says to whoever measures.
ASKED, AGAIN = "in the jug (grams", "once more"


def begin_demo(window: Terminal) -> None:
    window.type(f"{AISLECTL} demo")
    window.until("demo $")
    # The console script exists only where the package is installed; the sources are meant here.
    window.type(f'aislectl() {{ {AISLECTL} "$@"; }}; clear')
    window.until_gone("simulate")


def ask(window: Terminal, what: str, *expected: str) -> str:
    """Clear the screen, ask, wait for what is expected, and keep the screen."""
    window.type("clear")
    window.until_gone("=done=")
    window.type(f'aislectl {what}; echo "=done"=')
    screen = window.until("=done=", *expected)
    window.keep(what.replace(" ", "-").replace("/", "-")[:40])
    return screen


def ask_until(window: Terminal, what: str, expected: str) -> None:
    """Ask again and again: the agent looks at its door twice a second."""
    for _ in range(20):
        if expected in ask(window, what):
            return
    raise AssertionError(f"aislectl {what} never said {expected!r}:\n{window.screen()}")


def test_a_technicians_day_in_english(tmp_path: Path) -> None:
    with terminal(tmp_path, "en", language="C.UTF-8") as window:
        begin_demo(window)
        ask(window, "status", "playground", "selling")
        assert "\x1b[" in window.screen(colours=True), "colours at a terminal"
        ask(window, "visit start --name Lin", "Lin")
        ask(window, "aisles", "A1", "3.00")
        ask(window, "test-aisle A1", "delivered", "1 of 1 motors are fine")
        ask(window, "load A1 1", "on hand 5")
        ask(window, "lock A2 'bent spiral'", "closed for sale")
        ask(window, "unlock A2", "open for sale")
        ask(window, "count B6 4", "difference to the ledger -1")
        ask(window, "simulate door open", "done")
        ask_until(window, "status", "the door is open")
        ask(window, "doctor", "the door is open", "What to do")
        ask(window, "simulate door shut", "done")
        ask(window, "bus", "noise bytes", "well")
        ask(window, "outbox", "stock_loaded")
        ask(window, "faults", "no fault holds")
        ask(window, "visit end", "actions in 0 minutes")
        ask(window, "bundle help.tar.gz", "no secret in it")
        ask(window, "profile list", "waveshare")
        window.type("clear; exit")
        window.until_gone("demo $")


def calibrate(window: Terminal) -> None:
    """Measure two pours. A valve on a busy computer shuts unevenly: then the command asks to measure again."""
    for _ in range(CALIBRATIONS_MAX):
        window.type("clear")
        window.until_gone("Run ")  # what the last round left on the screen answers for nothing
        window.type("aislectl calibrate --ml 500 --runs 2")
        for number in (1, 2):
            window.until(f"Run {number}: put an empty jug")
            pour_into_the_jug(window, number)
            window.keep(f"calibrate-{number}")
            window.type("510")
        if "measure again" not in window.until_any("from 2 runs", "measure again"):
            return
    raise AssertionError(f"the runs lay apart {CALIBRATIONS_MAX} times\n{window.screen()}")


def pour_into_the_jug(window: Terminal, run: int) -> None:
    """Until the command asks what is in it: a doubtful pour is poured once more."""
    while True:
        doubts = window.screen().count(AGAIN)
        window.type("")
        screen = window.until_true(partial(moved_on, run=run, doubts=doubts))
        if screen.count(ASKED) == run:
            return


def moved_on(screen: str, *, run: int, doubts: int) -> bool:
    return screen.count(ASKED) == run or screen.count(AGAIN) > doubts


def test_who_measures_pours_once_more_when_a_pour_is_doubtful(tmp_path: Path) -> None:
    with terminal(tmp_path, "doubtful", language="C.UTF-8") as window:
        begin_demo(window)
        ask(window, "simulate fault meter_stuck", "done")
        window.type("clear; aislectl calibrate --ml 300 --runs 1")
        for tried in (1, 2):
            window.until_counted("Run 1: put an empty jug", tried)
            window.type("")
            window.until_counted(AGAIN, tried)
        window.until_counted("Run 1: put an empty jug", 3)
        window.type("")
        window.until_counted("volume doubtful", 3)
        window.keep("given-up")
        ask(window, "simulate mend", "done")
        window.type("clear; aislectl calibrate --ml 300 --runs 1")
        window.until("Run 1: put an empty jug")
        pour_into_the_jug(window, 1)


def test_water_is_poured_measured_and_calibrated(tmp_path: Path) -> None:
    with terminal(tmp_path, "water", language="C.UTF-8") as window:
        begin_demo(window)
        ask(window, "water", "water is given", "RO membrane", "450.000 / L")
        ask(window, "sensors", "TDS out")
        ask(window, "pour 300 --outlet hot", "ended", "all of it")
        calibrate(window)
        window.keep("calibrated")
        ask(window, "pours", "hot", "normal")
        ask(window, "new-filter 1 --yes", "a new cartridge serves")


def test_the_sweep_asks_shows_its_progress_and_reports(tmp_path: Path) -> None:
    with terminal(tmp_path, "sweep", language="C.UTF-8") as window:
        begin_demo(window)
        window.type("clear; aislectl sweep")
        window.until("12 motors turn", "[y/N]")
        window.keep("question")
        window.type("y")
        window.until("turning A2", "1/12")
        window.keep("progress")
        window.until("12 of 12 motors are fine")
        window.keep("report")
        window.type("clear; aislectl sweep")
        window.until("[y/N]")
        window.type("n")
        window.until("nothing was turned")


@pytest.mark.parametrize(
    ("name", "language", "words"), [("zh", "zh_CN.UTF-8", ("营业中", "货道", "驱动板")), ("en", "C", ())]
)
def test_the_live_screen_follows_the_machine(tmp_path: Path, name: str, language: str, words: tuple[str, ...]) -> None:
    with terminal(tmp_path, f"watch-{name}", language=language) as window:
        begin_demo(window)
        window.type("aislectl watch")
        window.until("playground", "A1 5", *words)
        window.keep("shut")
        window.type("")
        window.press("C-c")
        window.until("demo $")
        window.type("clear; aislectl simulate door open; aislectl watch")
        window.until("门开着" if name == "zh" else "the door is open")
        window.keep("door-open")
        window.press("C-c")
        window.until("demo $")


# A serial console or a telephone's SSH, a window of a laptop, half a telephone.
SIZES = ((80, 24), (120, 40), (60, 20), (40, 20))

SEEN = {
    "en": ("not selling: the door is open", "water_leak", "no water: Leak found", "A1 5"),
    "zh": ("停售: 门开着", "water_leak", "不出水: 检测到漏水", "A1 5"),
}


@pytest.mark.parametrize(("name", "language"), [("zh", "zh_CN.UTF-8"), ("en", "C.UTF-8")])
def test_the_live_screen_fits_whatever_the_terminal_offers(tmp_path: Path, name: str, language: str) -> None:
    with terminal(tmp_path, f"fits-{name}", language=language) as window:
        begin_demo(window)
        window.type("clear; aislectl simulate fault leak; aislectl simulate door open; aislectl watch")
        for columns, lines in SIZES:
            window.resize(columns, lines)
            screen = window.until(*SEEN[name], "─" * 10)
            window.until_true(lambda seen, wide=columns: wide - 2 <= max(map(cell_len, seen.splitlines())) <= wide)
            assert screen.startswith("── playground"), "the first line is on the screen"
            window.keep(f"{columns}x{lines}")
        window.press("C-c")
        window.until("demo $")


def test_a_console_that_does_not_tell_its_size_has_that_of_a_vt100(tmp_path: Path) -> None:
    """A serial line knows no size: 0 by 0 is what the kernel says of it. A picture of 25 lines would roll there."""
    with terminal(tmp_path, "serial", language="C.UTF-8") as window:
        begin_demo(window)
        window.resize(80, 24)
        window.type("clear; stty rows 0 columns 0; aislectl watch")
        screen = window.until("selling", "A1 5")
        window.keep("80x24")
        assert screen.startswith("── playground"), screen
        assert cell_len(screen.splitlines()[0]) == 80
        window.press("C-c")
        window.until("demo $")


def test_the_live_screen_shows_a_leak(tmp_path: Path) -> None:
    with terminal(tmp_path, "leak", language="zh_CN.UTF-8") as window:
        begin_demo(window)
        window.type("clear; aislectl simulate fault leak; aislectl watch")
        window.until("检测到漏水", "water_leak", "RO membrane")
        window.keep("live")
        window.press("C-c")
        window.until("demo $")


def test_help_and_errors_in_chinese(tmp_path: Path) -> None:
    with terminal(tmp_path, "zh", language="zh_CN.UTF-8") as window:
        window.type(f"clear; {AISLECTL} --help")
        window.until("转动一个货道电机", "退出码")
        window.keep("help")
        window.type(f'clear; {AISLECTL} --socket /nowhere status; echo "code $?"')
        window.until("代理程序未运行", "code 69")
        window.keep("unreachable")


def test_a_closed_terminal_leaves_nothing_behind(tmp_path: Path) -> None:
    with terminal(tmp_path, "closed", language="C.UTF-8") as window:
        begin_demo(window)
        window.type("clear; echo folder=$AISLECTL_SETTINGS=")
        screen = window.until("folder=/")
        folder = screen.split("folder=", 1)[1].split("/agent.toml", 1)[0].replace("\n", "")
        assert processes_of(folder)
        window.close()
        until = time.monotonic() + 60
        while processes_of(folder):
            assert time.monotonic() < until, processes_of(folder)
            time.sleep(0.1)


def processes_of(folder: str) -> list[str]:
    """The command lines of living processes that name a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if folder in line:
                found.append(line)
    return found
