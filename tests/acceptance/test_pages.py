"""What the pages print was said: every session on them, word by word, to a stage of its own where nobody else comes."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from firmware_sim.demo.stage import Stage, set_stage

ROOT = Path(__file__).parents[2]
# The demo's folder where `make demo` is said; the pages name it.
FOLDER = Path("var/demo")
SPEED = 4.0
# A session waits for machines, which take seconds; with all of it for this long something is wrong.
SESSION_S = 90.0
BUY_EVERY_S = 0.5

# What is drawn anew, or is the time of day: compared by its form. Everything else is compared as it is.
VARYING: Final = {
    "token": r"afl\.main\.[A-Za-z0-9_-]{43}",
    "request id": r"(?<=\"request_id\":\")[A-Za-z0-9_-]{16}(?=\")",
    "moment": r"(?<=_tms\":\")\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ(?=\")",
    "seconds": r"(?<=time\":)\d{10}(?=[,}])",
    "milliseconds": r"(?<=_ms\":)\d{13}(?=[,}])",
    "id": r"(?<![a-z0-9])(?:VO)?[a-z][a-z0-9]{20}(?![a-z0-9])",
    "day of a number": r"(?<!\d)\d{8}(?=YLBL\d{12})",
    "letters of a brand": r"(?<=\"code\":\")[A-Z]{4}(?=\")",
}
LEFT_OUT = "..."


@dataclass(frozen=True, slots=True)
class Said:
    """A command as it is printed, and the answer that is printed below it."""

    command: str
    answer: str


def sessions(page: str) -> list[Said]:
    """Everything that is said on a page. A command goes on in lines that are indented by four."""
    said: list[Said] = []
    for block in re.findall(r"^```console\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, answer = re.match(r"(.*\n(?:    .*\n)*)((?:.|\n)*)", part).groups()  # type: ignore[union-attr]
            # What follows an empty line is told to the reader.
            said.append(Said(command, answer.partition("\n#")[0].strip("\n")))
    return said


def one_line(answer: str) -> str:
    """An answer without the line breaks of the page, and with a name for everything that varies."""
    line = re.sub(r"\n *", "", answer)
    for name, form in VARYING.items():
        line = re.sub(form, f"<{name}>", line)
    return line


def is_as_printed(answer: str, printed: str) -> bool:
    """Whether the answer is the printed one, with anything in the place of what was left out."""
    pattern = ".*".join(re.escape(part) for part in one_line(printed).split(LEFT_OUT))
    return re.fullmatch(pattern, one_line(answer)) is not None


@asynccontextmanager
async def quiet_stage(home: Path) -> AsyncIterator[Stage]:
    """What `make demo QUIET=1` starts, in its folder below `home`."""
    async with set_stage(home / FOLDER, seed=1, speed=SPEED, broker="mosquitto", port=0, say=print) as stage:
        yield stage


async def say(commands: list[str], home: Path) -> list[str]:
    """Say the commands to one shell in `home`; what each of them prints. Nothing may go to stderr."""
    script = "".join(f"{command}\nprintf '\\0'\n" for command in commands)
    shell = await asyncio.create_subprocess_exec(
        "bash",
        "--norc",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=home,
        env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8"},
    )
    try:
        async with asyncio.timeout(SESSION_S):
            printed, wrong = await shell.communicate(script.encode())
    finally:
        if shell.returncode is None:
            shell.kill()
            await shell.wait()
    assert wrong == b"", wrong.decode()
    answers = printed.decode().split("\0")
    assert len(answers) == len(commands) + 1
    return answers[:-1]


@pytest.mark.parametrize("page", ["vending", "iot"])
async def test_a_session_on_a_page_was_run(page: str, tmp_path: Path) -> None:
    said = sessions((ROOT / "docs" / "dialects" / f"{page}.md").read_text("utf-8"))
    assert len(said) > 10
    async with quiet_stage(tmp_path):
        answers = await say([one.command for one in said], tmp_path)
    wrong = [
        f"$ {one.command}printed: {one_line(one.answer)}\nanswer:  {one_line(answer)}"
        for one, answer in zip(said, answers, strict=True)
        if not is_as_printed(answer.strip("\n"), one.answer)
    ]
    assert not wrong, "\n\n".join(wrong)


async def test_the_first_questions_of_the_readme_are_answered(tmp_path: Path) -> None:
    """They are asked while somebody buys; `make demo` without QUIET is full of people."""
    (block,) = re.findall(r"^   ```sh\n(   \. var/demo/names.sh\n.*?)^   ```$", readme(), re.MULTILINE | re.DOTALL)
    *settings, machines, orders, pick, story, events = re.findall(r"^   (\S.*\n(?:     .*\n)*)", block, re.MULTILINE)
    async with quiet_stage(tmp_path) as stage, asyncio.TaskGroup() as group:
        buying = group.create_task(buy(stage))
        await buying_began(stage)
        answers = await say([*settings, machines, orders, pick, story, events], tmp_path)
        buying.cancel()
    told = dict(zip(("machines", "orders", "pick", "story", "events"), answers[-5:], strict=True))
    assert {one["machine"] for one in json.loads(told["machines"])["items"]} >= set(stage.panels)
    assert json.loads(told["orders"])["items"][0]["machine"] == "vm-0001"
    assert {"order", "attempts", "postings", "tickets"} <= json.loads(told["story"]).keys()
    assert re.search(r"^data: \{.*\}$", told["events"], re.MULTILINE), told["events"]


async def test_whoever_stands_beside_the_purifier_is_answered(tmp_path: Path) -> None:
    """As the README says it; the live screen goes on until somebody ends it, and is left out."""
    (block,) = re.findall(r"^   ```sh\n(   \. var/demo/names.sh  .*?)^   ```$", readme(), re.MULTILINE | re.DOTALL)
    *asked, watch = [line.strip() for line in block.splitlines()]
    assert watch.startswith("aislectl watch")
    asked[-1] = asked[-1].replace("doctor", "doctor || test $? = 1")  # no time server is in the demo's world
    async with quiet_stage(tmp_path):
        *_, status, water, pour, doctor = await say([f"{one}\n" for one in asked], tmp_path)
    assert "wp-0001" in status
    assert "water is given" in water
    assert "all of it" in pour
    assert "every check passed" in doctor


def readme() -> str:
    return (ROOT / "README.md").read_text("utf-8")


async def buy(stage: Stage) -> None:
    """A bottle, and another one."""
    for number in range(10_000):
        await stage.api.post(
            "/orders", key=f"bottle-{number}", member="member-01", machine="vm-0001", aisle=f"1-{number % 60:02d}"
        )
        await asyncio.sleep(BUY_EVERY_S)


async def buying_began(stage: Stage) -> None:
    """There is an order to ask for."""
    async with asyncio.timeout(SESSION_S):
        while not await stage.api.count("/orders"):  # noqa: ASYNC110  # the cloud has no event for us
            await asyncio.sleep(BUY_EVERY_S)


PRINTED = """\
$ say it \\
    twice
{"a":1,...,"time":1795921907,
  "ret":0} 200

# A word to the reader.
$ nothing
$ more
 204
"""


def test_a_page_is_read_as_it_is_meant() -> None:
    said = sessions(f"text\n```console\n{PRINTED}```\n")
    assert [one.command for one in said] == ["say it \\\n    twice\n", "nothing\n", "more\n"]
    printed = said[0].answer
    assert [one.answer for one in said[1:]] == ["", " 204"]
    assert is_as_printed('{"a":1,"b":2,"time":1795921999,"ret":0} 200', printed)
    assert not is_as_printed('{"a":2,"b":2,"time":1795921999,"ret":0} 200', printed)
    assert not is_as_printed('{"a":1,"b":2,"time":"late","ret":0} 200', printed)
    assert not is_as_printed('{"a":1,"b":2,"time":1795921999,"ret":0} 201', printed)
    assert not is_as_printed("something", said[1].answer)
