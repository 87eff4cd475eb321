"""The command speaks two languages, and nothing is missing in either."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import get_args

import pytest

from edge_agent.links.breaker import BreakerState
from edge_agent.pour import display
from edge_agent.selling import Band, Condition, not_selling_because
from edge_agent.technician import chinese, screens
from edge_agent.technician.chinese import LOOK_IT_UP
from edge_agent.technician.motors import Oddity
from edge_agent.technician.speech import Speech, chosen_language
from edge_agent.technician.wiring import Pattern
from shared import messages
from shared.clock import ClockState
from shared.water import ServiceMode, Warmth
from tests.architecture.tree import modules


def said() -> Iterator[str]:
    """Every sentence in the sources that goes through a `say`, or is shown as help."""
    for module in modules("edge_agent"):
        if not module.name.startswith("edge_agent.technician"):
            continue
        for node in ast.walk(module.tree):
            if not isinstance(node, ast.Call):
                continue
            name = ast.unparse(node.func)
            texts: list[ast.expr] = []
            if name == "say" or name.endswith(".say"):
                texts = node.args[:1]
            elif name == "Word":
                texts = node.args[1:2]
            elif name == "argument":
                texts = [keyword.value for keyword in node.keywords if keyword.arg == "about"]
            yield from (
                part.value
                for text in texts
                for part in ast.walk(text)
                if isinstance(part, ast.Constant) and isinstance(part.value, str)
            )


def test_every_sentence_has_its_chinese_and_no_chinese_is_left_over() -> None:
    sentences = set(said())
    assert len(sentences) > 150, "the search no longer finds the sentences"
    assert sentences - chinese.SENTENCES.keys() == set()
    assert chinese.SENTENCES.keys() - sentences == set()


# Their refusals are for the cloud and for programs; nobody sees them beside the machine.
NOT_BESIDE = ("ledger.config", "ledger.inbox", "ledger.journal", "ledger.pours", "local_socket", "commands", "uplink")


def refusals() -> Iterator[tuple[str, str]]:
    """Every sentence with which something is refused beside the machine, its fields filled in, and where it stands."""
    for module in modules("edge_agent"):
        place = module.name.removeprefix("edge_agent.")
        if place.startswith((*NOT_BESIDE, "technician")):
            continue
        for node in ast.walk(module.tree):
            refuses = isinstance(node, ast.Call) and ast.unparse(node.func) in ("Refused", "CalibrationRefused")
            if refuses and isinstance(node, ast.Call) and isinstance(node.args[-1], ast.Constant | ast.JoinedStr):
                yield place, _filled(node.args[-1])


def details() -> Iterator[tuple[str, str]]:
    """Every sentence of some words that tells of a fault, or why the water is not fit."""
    for module in modules("edge_agent"):
        for node in ast.walk(module.tree):
            named = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in ("detail", "reason")
            if module.name.startswith("edge_agent.technician") or not named or not isinstance(node, ast.Assign):
                continue
            for text in ast.walk(node.value):
                if isinstance(text, ast.JoinedStr) and " " in _filled(text):
                    yield module.name, _filled(text)


def test_every_fault_says_what_it_saw_in_chinese() -> None:
    told = [text for _, text in details()]
    assert len(told) >= 6, "the search no longer finds them"
    han = re.compile(r"[\u4e00-\u9fff]")
    assert [text for text in told if han.search(Speech("zh").sentence(text)) is None] == []


def _filled(text: ast.Constant | ast.JoinedStr) -> str:
    """A sentence as it may be; each field is a number, which fits everywhere."""
    parts = text.values if isinstance(text, ast.JoinedStr) else [text]
    return "".join(str(part.value) if isinstance(part, ast.Constant) else "7" for part in parts)


def test_whatever_is_refused_beside_the_machine_is_told_in_chinese() -> None:
    told = dict(refusals())
    assert len(told) > 10, "the search no longer finds the refusals"
    han = re.compile(r"[\u4e00-\u9fff]")
    assert [(place, text) for place, text in refusals() if han.search(Speech("zh").sentence(text)) is None] == []


@pytest.mark.parametrize(
    ("english", "told"),
    [
        ("/dev/x: no such port; no serial port exists here: is the adapter plugged in?", "没有这个端口"),
        ("/dev/x: no such port; these exist: /dev/ttyUSB0", "/dev/ttyUSB0"),
        ("/dev/x: no permission: add the agent's user to the group that owns it (usually dialout)", "没有权限"),
        ("/dev/x: in use by another program: a second agent, a terminal program or ModemManager", "占用"),
        ("load: Expected `int` <= 1000 - at `$.quantity`", "quantity：应不大于 1000"),
    ],
)
def test_ports_and_numbers_that_cannot_be_are_told_in_chinese(english: str, told: str) -> None:
    assert told in Speech("zh").sentence(english)


def test_both_halves_have_the_same_fields() -> None:
    fields = re.compile(r"\{(\w+)\}")
    assert [
        english
        for english, told in chinese.SENTENCES.items()
        if sorted(fields.findall(english)) != sorted(fields.findall(told))
    ] == []


def test_the_chinese_half_is_chinese() -> None:
    han = re.compile(r"[\u4e00-\u9fff]")
    told = [*chinese.SENTENCES.values(), *(pair[1] for pair in chinese.FIXES.values())]
    assert [text for text in told if han.search(text) is None] == []


@pytest.mark.parametrize(
    ("context", "words"),
    [
        ("", ("delivered", "failed", "unknown")),
        ("", get_args(messages.FailReason)),
        ("", get_args(messages.UnknownReason)),
        ("", get_args(messages.BoardResult)),
        ("", get_args(messages.PourReason)),
        ("", get_args(ClockState)),
        ("", get_args(Oddity)),
        ("", get_args(Pattern)),
        ("band", get_args(Band)),
        ("breaker", get_args(BreakerState)),
        ("outlet", get_args(Warmth)),
        ("plan", get_args(ServiceMode)),
        ("pour", ("claimed", "refused", "open", "ended", "doubtful")),
        ("", screens.PROBES),
    ],
)
def test_every_word_of_a_protocol_has_its_translation(context: str, words: tuple[str, ...]) -> None:
    assert words
    missing = [word for word in words if f"{context}/{word}" not in chinese.WORDS and word not in chinese.WORDS]
    assert missing == []


SELLING = Condition(
    has_config=True,
    door_open=False,
    band="normal",
    disk_problem=None,
    ledger_damaged=False,
    stopped_by=None,
    boards_up=1,
    recovering=False,
)


@pytest.mark.parametrize(
    "change",
    [
        {"ledger_damaged": True},
        {"disk_problem": "/data: 5 bytes free, 9 are kept for outcomes: free some space"},
        {"has_config": False},
        {"stopped_by": "repair"},
        {"door_open": True},
        {"band": "cold"},
        {"band": "warm"},
        {"band": "sensor_fault"},
        {"recovering": True},
    ],
)
def test_every_reason_not_to_sell_is_told_in_chinese(change: dict[str, object]) -> None:
    reason = not_selling_because(replace(SELLING, **change))  # type: ignore[arg-type]
    assert reason is not None
    assert Speech("zh").sentence(reason) != reason
    assert Speech("en").sentence(reason) == reason
    assert Speech("en").stop_fix(reason) != chinese.LOOK_IT_UP[0]


@pytest.mark.parametrize("stop", get_args(display.Stop))
def test_why_there_is_no_water_is_told_as_the_display_tells_it(stop: display.Stop) -> None:
    english, chinese = display.stopped(stop, "en"), display.stopped(stop, "zh")
    assert Speech("zh").sentence(english) == chinese
    assert Speech("zh").sentence(f"no aisle board answers; {english}") == f"没有驱动板应答；{chinese}"
    if stop not in ("test", "machine"):  # neither is a reason to do anything
        assert Speech("zh").stop_fix(english) != LOOK_IT_UP[1]


def test_a_sentence_within_a_sentence_is_told_in_chinese_too() -> None:
    ahead = "watermark 9: the cloud has facts that this ledger never numbered (next_seq=3)"
    assert Speech("zh").sentence(f"stopped: {ahead}") == "已停机：云端已有 9 号记录，而本机账本的下一编号是 3"


@pytest.mark.parametrize(
    ("english", "told"),
    [
        ("the broker refused the connection: Not authorized", "消息服务器拒绝登录：密钥不对或已作废"),
        ("up/m-1/fact: publish refused: Not authorized", "消息服务器不允许 up/m-1/fact"),
        ("mqtts://h:8883: certificate verify failed: certificate has expired", "mqtts://h:8883: 证书已过期"),
        ("certificate is not yet valid", "证书尚未生效"),
        ("self-signed certificate in certificate chain", "证书不是由所信任的机构签发"),
        ("Hostname mismatch, certificate is not valid for 'h'.", "证书不包含名称 h"),
        ("mqtts://h:8883: Name or service not known", "mqtts://h:8883: 无法解析名称"),
        ("facts 3 to 9 are sent, the cloud confirmed none in 10 min", "已发送 3 至 9 号记录，云端 10 分钟没有确认"),
        (
            "182500 facts wait for the cloud, 182500 are the limit: restore the connection",
            "182500 条记录等待上传，已达上限：请恢复连接",
        ),
    ],
)
def test_why_there_is_no_connection_is_told_in_chinese(english: str, told: str) -> None:
    assert Speech("zh").sentence(english) == told


@pytest.mark.parametrize(
    ("environment", "language"),
    [
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LC_ALL": "", "LANG": "zh_TW"}, "zh"),
        ({"LANGUAGE": "en", "LANG": "zh_CN.UTF-8"}, "en"),
        ({}, "en"),
    ],
)
def test_the_locale_chooses(environment: dict[str, str], language: str) -> None:
    assert chosen_language(environment) == language


def test_a_word_of_newer_software_stays_as_it_is() -> None:
    assert Speech("zh").word("unheard_of") == "unheard_of"
    assert Speech("zh").sentence("something new") == "something new"


def test_what_a_person_may_not_clear_and_a_wrong_board_are_told_in_chinese() -> None:
    say = Speech("zh").sentence
    refused = "stopped: nobody clears this at the machine: ask the operator"
    assert say(refused) == "stopped：现场不能解除，请询问运营人员"
    wrong = "board 1 on tty: answer to ID: expected a name that begins with 'ADH999', not 'ADH815' (is this), got 00"
    assert say(wrong).startswith("board 1 on tty：型号应以 'ADH999' 开头，读到 'ADH815'")


@pytest.mark.parametrize(("left_ms", "days"), [(-1, 0), (0, 0), (1, 1), (screens.DAY_MS - 1, 1), (screens.DAY_MS, 2)])
def test_days_are_counted_as_the_display_counts_them(left_ms: int, days: int) -> None:
    assert screens.days_left(left_ms) == days


def doubts() -> set[str]:
    """Why nobody can say how much a pour has given, as the sources say it."""
    told = {
        f"the meter counted 4.7 ml {what} than pace and time explain, give or take 0.4; 3.8 may be off"
        for what in ("more", "less")
    }
    for module in modules("edge_agent"):
        for node in ast.walk(module.tree):
            match node:
                case ast.Call(func=ast.Name("Doubt"), args=[ast.Constant(str(sentence)), *_]):
                    told.add(sentence.replace("{}", "4.7"))
                case ast.Assign([ast.Attribute(attr="_doubt" | "_unseen")], ast.Constant(str(sentence))):
                    told.add(sentence)
                case ast.FunctionDef(name="_why_doubtful"):
                    constants = (part for part in ast.walk(node) if isinstance(part, (ast.Return, ast.IfExp)))
                    values = (part.body if isinstance(part, ast.IfExp) else part.value for part in constants)
                    told |= {value.value for value in values if isinstance(value, ast.Constant) and value.value}
    return told


def test_every_doubt_about_a_pour_has_its_chinese() -> None:
    found = doubts()
    assert len(found) > 12, "the search no longer finds them"
    assert {sentence for sentence in found if re.search("[a-z]{3,}", Speech("zh").sentence(sentence))} == set()
