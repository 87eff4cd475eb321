"""The ADH815 driver against the simulated board, in simulated time."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from importlib.metadata import entry_points
from typing import ClassVar

import pytest

from edge_agent.devices.adh815_board import Adh815Board, open_board
from edge_agent.devices.ports import BoardFinished, BoardIdle, BoardStatus, BoardTurning, StartAnswer
from edge_agent.errors import (
    BoardMisbehaved,
    BoardSilent,
    BreakerOpen,
    DeadlinePassed,
    LinkDown,
    NeverSent,
    PortClosed,
    Refused,
    SettingsWrong,
    Withheld,
)
from edge_agent.wire.adh815 import Identity, Mode, ModeSet, Report, State
from edge_agent.wire.crc import sealed
from tests.links.virtual import Rig, SimulatedPort

POLL, RUN, ACK, ID, READ_MODE, SET_MODE = 0x03, 0x05, 0x06, 0x01, 0x20, 0x21
RUN_MS_MAX = 10_000


async def finished(rig: Rig, board: Adh815Board) -> BoardStatus:
    """Poll like a vend session until the run is over, whatever the line does."""
    for _ in range(RUN_MS_MAX // 200):
        with suppress(BoardSilent, NeverSent):
            status = await board.status(confirmed=True)
            if not isinstance(status, BoardTurning):
                return status
        rig.pass_ms(200)
    raise AssertionError("the run never ended")


async def started(rig: Rig, board: Adh815Board, motor: int) -> StartAnswer:
    """Ask until the request has left: what was never sent may be asked again."""
    for _ in range(100):
        with suppress(NeverSent):
            return await board.start(motor, not_after_mono_ms=rig.soon())
        rig.pass_ms(100)
    raise AssertionError("the board never became ready")


@pytest.mark.parametrize(("dialect", "name"), [("815", "ADH815"), ("814e", "ADH814E")])
@pytest.mark.parametrize("poll", ["13", "14", "ack"])
async def test_one_vend_from_start_to_acknowledgement(dialect: str, name: str, poll: str) -> None:
    rig = Rig({"motors": 20, "stock": 10, "dialect": dialect, "poll": poll})
    board = rig.board(dialect=dialect)
    detecting = dialect == "815"
    assert (await board.identify()).startswith(name)
    await board.prepare(drop_sensor=detecting)
    assert await board.status(confirmed=True) == BoardIdle(0, False, None if poll == "ack" else 25)
    assert await board.start(5, not_after_mono_ms=rig.soon()) == "accepted"
    assert await board.status() == BoardTurning(5)
    assert await board.start(6, not_after_mono_ms=rig.soon()) == "busy"
    end = await finished(rig, board)
    assert isinstance(end, BoardFinished)
    assert (end.motor, end.fault, end.drop_seen) == (5, None, True if detecting else None)
    assert end.max_current_ma >= end.avg_current_ma > 0
    assert end.run_time_ms >= 1_000
    assert await board.start(6, not_after_mono_ms=rig.soon()) == "result_waiting"
    await board.acknowledge()
    idle = await board.status(confirmed=True)
    assert isinstance(idle, BoardIdle)
    assert idle.last_motor == (0 if poll == "ack" else 5)
    assert [run.motor for run in rig.machine.runs if run.fell] == [5]


async def test_a_motor_that_the_board_does_not_have() -> None:
    rig = Rig()
    assert await rig.board().start(200, not_after_mono_ms=rig.soon()) == "invalid_motor"


@pytest.mark.parametrize(
    ("trouble", "fault", "drop_seen"),
    [("jam", "over_current", False), ("over_current", "over_current", True), ("open_motor", "open", False)],
)
async def test_faults_are_told_with_what_the_drop_sensor_saw(trouble: str, fault: str, drop_seen: bool) -> None:
    rig = Rig()
    board = rig.board()
    await board.prepare(drop_sensor=True)
    rig.faults.once(trouble, 1, 3)
    await board.start(3, not_after_mono_ms=rig.soon())
    end = await finished(rig, board)
    assert isinstance(end, BoardFinished)
    assert (end.fault, end.drop_seen) == (fault, drop_seen)


async def test_an_empty_spiral_is_a_run_without_fault_in_which_nothing_was_seen() -> None:
    rig = Rig({"motors": 20, "stock": 0})
    board = rig.board()
    await board.prepare(drop_sensor=True)
    await board.start(3, not_after_mono_ms=rig.soon())
    end = await finished(rig, board)
    assert isinstance(end, BoardFinished)
    assert (end.fault, end.drop_seen) == (None, False)


async def test_a_blocked_sensor_is_seen_while_idle() -> None:
    rig = Rig()
    board = rig.board()
    await board.prepare(drop_sensor=True)
    rig.faults.switch_on("sensor_blocked", 1)
    rig.pass_ms(100)
    status = await board.status(confirmed=True)
    assert isinstance(status, BoardIdle)
    assert status.sensor_blocked


async def test_a_run_is_sent_once_though_its_answer_is_lost() -> None:
    rig = Rig()
    board = rig.board()
    await board.prepare(drop_sensor=True)
    rig.faults.once("late", 1)
    with pytest.raises(BoardSilent):
        await board.start(4, not_after_mono_ms=rig.soon())
    assert rig.port.commands(RUN) == 1
    end = await finished(rig, board)
    assert isinstance(end, BoardFinished)
    assert end.motor == 4


@pytest.mark.parametrize("seed", range(40))
async def test_a_late_idle_is_never_believed_after_a_start(seed: int) -> None:
    """The accident that `owed` forbids: POLL is answered late, RUN starts the motor, and 'idle' comes in at last."""
    rig = Rig(seed=seed)
    board = rig.board()
    await board.prepare(drop_sensor=True)
    rig.faults.once("late", 1)
    with pytest.raises(BoardSilent):
        await board.status()
    assert await started(rig, board, 4) == "accepted"
    statuses = [await board.status() for _ in range(5)]
    assert not any(isinstance(status, BoardIdle) for status in statuses)


@pytest.mark.parametrize("seed", range(12))
async def test_on_a_bad_line_every_answer_that_is_believed_is_true(seed: int) -> None:
    """Noise, loss, splits and late answers at once: starts are never doubled, ends are never invented."""
    rig = Rig(seed=seed, rates={"noise": 0.05, "loss": 0.05, "split": 0.3, "late": 0.1})
    board = rig.board()
    for _ in range(20):
        with suppress(NeverSent, BoardSilent):
            await board.prepare(drop_sensor=True)
        rig.pass_ms(500)
    believed = 0
    for motor in range(10):
        answer = None
        with suppress(BoardSilent):
            answer = await started(rig, board, motor)
        for _ in range(300):
            rig.pass_ms(200)
            try:
                status = await board.status(confirmed=True)
            except (NeverSent, BoardSilent):
                continue
            if isinstance(status, BoardFinished):
                run = rig.machine.runs[-1]
                assert (status.motor, status.drop_seen) == (run.motor, run.fell)
                believed += 1
            if isinstance(status, BoardTurning):
                assert status.motor == rig.machine.runs[-1].motor
                continue
            if answer == "accepted":
                assert isinstance(status, BoardFinished)
            break
        while True:
            try:
                await board.acknowledge()
                break
            except (NeverSent, BoardSilent):
                rig.pass_ms(200)
    assert believed >= 5
    starts = [run.motor for run in rig.machine.runs]
    assert sorted(set(starts)) == starts  # each motor at most once, in order
    assert rig.port.commands(RUN) <= 10


async def test_a_start_does_not_leave_after_its_deadline() -> None:
    rig = Rig()
    board = rig.board()
    await board.prepare(drop_sensor=True)
    with pytest.raises(DeadlinePassed):
        await board.start(4, not_after_mono_ms=rig.clock.mono_ms() - 1)
    assert rig.port.commands(RUN) == 0


class Forging(SimulatedPort):
    """Puts whole, well-formed frames in the place of the board's next answers."""

    forged: ClassVar[list[bytes]] = []

    def read(self, wait_ms: int) -> bytes:
        data = super().read(wait_ms)
        return self.forged.pop(0) if data and self.forged else data


def forge(rig: Rig, *frames: bytes) -> None:
    rig.port.__class__ = Forging
    rig.port.forged = list(frames)  # type: ignore[attr-defined]


IDLE = Report(State.IDLE, 0, 0, 0, 0, 0, 25)


async def test_one_false_reading_does_not_decide_about_money() -> None:
    rig = Rig()
    board = rig.board()
    await board.prepare(drop_sensor=True)
    await board.start(3, not_after_mono_ms=rig.soon())
    forge(rig, IDLE.to_bytes())
    assert await board.status(confirmed=True) == BoardTurning(3)
    forge(rig, IDLE.to_bytes())
    assert await board.status() == BoardIdle(0, False, 25)  # unconfirmed, it is believed: nothing hangs on it


async def test_a_board_that_never_says_the_same_twice_is_not_believed() -> None:
    rig = Rig()
    board = rig.board()
    forge(rig, *(replace(IDLE, motor=motor).to_bytes() for motor in range(1, 9)))
    with pytest.raises(BoardMisbehaved, match="two equal answers among 5"):
        await board.status(confirmed=True)


async def test_a_change_of_temperature_is_no_disagreement() -> None:
    rig = Rig()
    board = rig.board()
    forge(rig, replace(IDLE, celsius=7).to_bytes(), replace(IDLE, celsius=8).to_bytes())
    assert await board.status(confirmed=True) == BoardIdle(0, False, 8)


async def test_an_answer_that_the_protocol_does_not_allow_is_shown_with_its_bytes() -> None:
    rig = Rig()
    board = rig.board()
    forge(rig, sealed(bytes.fromhex("00 03 07 00 00 00 00 00 00 00 19")))
    with pytest.raises(BoardMisbehaved, match="state 0, 1 or 2, got 00 03 07"):
        await board.status()


async def test_a_mode_that_the_board_does_not_take_is_an_error() -> None:
    rig = Rig({"motors": 5, "drop_detection": False})
    board = rig.board()
    off = Mode(0, 0x00).to_bytes()
    forge(rig, Identity("ADH815V4.0.01").to_bytes(), off, ModeSet(1, 0x80).to_bytes(), off)
    with pytest.raises(BoardMisbehaved, match="the mode 80h that was set"):
        await board.prepare(drop_sensor=True)


class Fraying(SimulatedPort):
    """Breaks at the next read, or at the next write of a command."""

    breaks_at: str | int | None = None

    def write(self, data: bytes) -> None:
        if self.breaks_at == data[1]:
            raise LinkDown("virtual", "writing failed")
        super().write(data)

    def read(self, wait_ms: int) -> bytes:
        if self.breaks_at == "read":
            raise LinkDown("virtual", "reading failed")
        return super().read(wait_ms)


@pytest.mark.parametrize(("trusted", "breaks_at"), [(True, "read"), (False, ID), (False, READ_MODE)])
async def test_a_port_that_breaks_before_the_start_left_proves_that_it_never_left(
    trusted: bool, breaks_at: str | int
) -> None:
    rig = Rig()
    board = rig.board()
    await board.prepare(drop_sensor=True)
    if not trusted:
        rig.bus.line.opened(rig.port)
    rig.port.__class__ = Fraying
    rig.port.breaks_at = breaks_at  # type: ignore[attr-defined]
    with pytest.raises(PortClosed):
        await board.start(3, not_after_mono_ms=rig.soon())
    assert rig.port.commands(RUN) == 0


async def test_a_port_that_breaks_while_the_start_leaves_proves_nothing() -> None:
    rig = Rig()
    board = rig.board()
    await board.prepare(drop_sensor=True)
    rig.port.__class__ = Fraying
    rig.port.breaks_at = RUN  # type: ignore[attr-defined]
    with pytest.raises(LinkDown) as lost:
        await board.start(3, not_after_mono_ms=rig.soon())
    assert not isinstance(lost.value, NeverSent)


# --- the right board, in the right mode ------------------------------------------------------------------------------


@pytest.mark.parametrize("on", [True, False])
async def test_prepare_switches_detection_and_reads_it_back(on: bool) -> None:
    rig = Rig({"motors": 5, "drop_detection": not on})
    board = rig.board()
    await board.prepare(drop_sensor=on)
    assert rig.port.commands(SET_MODE) == 1
    assert rig.port.commands(READ_MODE) == 2
    await board.prepare(drop_sensor=on)
    assert rig.port.commands(SET_MODE) == 1  # it was right already


async def test_a_dialect_without_known_detection_refuses_it() -> None:
    rig = Rig({"motors": 5, "dialect": "814e"})
    with pytest.raises(Refused, match="set it off"):
        await rig.board(dialect="814e").prepare(drop_sensor=True)


async def test_another_board_on_the_port_is_named_and_never_started() -> None:
    rig = Rig()
    board = rig.board(expect="ADH816")
    with pytest.raises(BoardMisbehaved, match=r"begins with 'ADH816', not 'ADH815.*url and expect"):
        await board.identify()
    with pytest.raises(Withheld) as withheld:
        await board.start(3, not_after_mono_ms=rig.soon())
    assert isinstance(withheld.value, NeverSent)
    assert rig.port.commands(RUN) == 0


async def test_a_port_that_was_opened_again_is_not_trusted_before_its_board_is_known() -> None:
    rig = Rig()
    board = rig.board()
    await board.prepare(drop_sensor=True)
    asked = rig.port.commands(ID)
    await board.start(3, not_after_mono_ms=rig.soon())
    assert rig.port.commands(ID) == asked  # a trusted board is started at once
    await finished(rig, board)
    await board.acknowledge()
    rig.bus.line.opened(rig.port)
    await board.start(4, not_after_mono_ms=rig.soon())
    assert rig.port.commands(ID) == asked + 1


async def test_a_board_that_was_reset_gets_its_mode_back_before_the_next_run() -> None:
    rig = Rig({"motors": 20, "stock": 10, "forgets_mode": True})
    board = rig.board()
    await board.prepare(drop_sensor=True)
    await board.start(3, not_after_mono_ms=rig.soon())
    await finished(rig, board)
    await board.acknowledge()
    assert await board.status() == BoardIdle(3, False, 25)
    rig.machine.power_cycle()
    rig.pass_ms(2_000)
    assert await board.status() == BoardIdle(0, False, 25)  # it has forgotten, and that is how it is known
    set_before = rig.port.commands(SET_MODE)
    await board.start(4, not_after_mono_ms=rig.soon())
    assert rig.port.commands(SET_MODE) == set_before + 1
    end = await finished(rig, board)
    assert isinstance(end, BoardFinished)
    assert end.drop_seen is True


async def test_seen_is_no_proof_when_nobody_looked() -> None:
    """A reset between two readings that shows nothing else: the last motor was 0 before and after."""
    rig = Rig({"motors": 20, "stock": 0, "forgets_mode": True})
    board = rig.board()
    await board.prepare(drop_sensor=True)
    rig.machine.power_cycle()
    rig.pass_ms(2_000)
    await board.start(4, not_after_mono_ms=rig.soon())
    end = await finished(rig, board)
    assert isinstance(end, BoardFinished)
    assert (end.fault, end.drop_seen) == (None, None)  # the byte says "seen", and nothing fell


async def test_a_dead_board_is_refused_without_motion_and_comes_back() -> None:
    rig = Rig()
    board = rig.board()
    await board.prepare(drop_sensor=True)
    rig.faults.switch_on("dead", 1)
    for _ in range(4):
        with pytest.raises((BoardSilent, BreakerOpen)):
            await board.status()
    with pytest.raises(NeverSent):
        await board.start(3, not_after_mono_ms=rig.soon())
    assert rig.port.commands(RUN) == 0
    rig.faults.switch_off("dead", 1)
    rig.pass_ms(15_000)
    assert isinstance(await board.status(), BoardIdle)
    assert await board.start(3, not_after_mono_ms=rig.soon()) == "accepted"


async def test_a_board_with_a_shorter_answer_than_before_is_learned_again() -> None:
    rig = Rig({"motors": 5, "poll": "14"}, celsius=8)  # at 25 degrees and 55 % either length fits
    board = rig.board()
    assert isinstance(await board.status(), BoardIdle)
    swapped = Rig({"motors": 5, "poll": "13"}, celsius=8)
    board._bus = swapped.bus  # type: ignore[assignment]  # another board behind the same driver
    board._clock = swapped.clock
    with pytest.raises(BoardSilent):
        await board.status()
    assert isinstance(await board.status(), BoardIdle)


async def test_settings_that_no_board_has_are_named() -> None:
    rig = Rig()
    with pytest.raises(SettingsWrong, match="9 is no address"):
        rig.board(9)
    with pytest.raises(SettingsWrong, match="'816' is not known"):
        rig.board(dialect="816")


def test_the_entry_point_leads_here() -> None:
    (found,) = entry_points(group="aisleflow.boards", name="adh815")
    assert found.load() is open_board


def test_never_sent_is_told_apart_from_unknown() -> None:
    """What recovery relies on: these prove that nothing left, the others do not."""
    assert all(issubclass(kind, NeverSent) for kind in (BreakerOpen, DeadlinePassed, Withheld, PortClosed))
    assert not any(issubclass(kind, NeverSent) for kind in (BoardSilent, BoardMisbehaved, LinkDown))
