"""The slave itself: frames of the manufacturers, every function, every refusal, and what it does not answer."""

from __future__ import annotations

import pytest

from firmware_sim.boards.crc16 import crc16
from firmware_sim.form import ScenarioWrong
from firmware_sim.modbus.slave import BOOT_MS
from firmware_sim.modbus.spec import Register, device_names, load_device
from tests.unit.firmware_sim.purifier_bench import AIR, DEVICES, PULSES, RELAYS, TDS, TUF, master

LONE_RELAYS = [{"device": "waveshare-relay-8ch", "slave": 1}]
# Request and reply as the manufacturers print them. Waveshare's wiki, in the order of its page; XY-MD02's manual.
PRINTED = [
    ("01 05 00 00 FF 00 8C 3A", "01 05 00 00 FF 00 8C 3A"),
    ("01 05 00 01 FF 00 DD FA", "01 05 00 01 FF 00 DD FA"),
    ("01 05 00 00 55 00 F2 9A", "01 05 00 00 55 00 F2 9A"),
    ("01 05 00 FF FF 00 BC 0A", "01 05 00 FF FF 00 BC 0A"),
    ("01 05 00 FF 00 00 FD FA", "01 05 00 FF 00 00 FD FA"),
    ("01 0F 00 00 00 08 01 FF BE D5", "01 0F 00 00 00 08 54 0D"),
    ("01 05 02 00 00 07 8D B0", "01 05 02 00 00 07 8D B0"),
    ("01 05 04 00 00 07 8D 38", "01 05 04 00 00 07 8D 38"),
    ("00 03 40 00 00 01 90 1B", "00 03 02 00 01 44 44"),
    ("00 06 40 00 00 01 5C 1B", "00 06 40 00 00 01 5C 1B"),
    ("00 03 80 00 00 01 AC 1B", "00 03 02 00 C8"),
]


@pytest.mark.parametrize(("request_hex", "reply_hex"), PRINTED)
def test_the_relay_device_answers_as_its_wiki_prints(request_hex: str, reply_hex: str) -> None:
    reply = master(modbus=LONE_RELAYS).exchange(bytes.fromhex(request_hex))
    assert reply.startswith(bytes.fromhex(reply_hex)), reply.hex(" ")
    assert reply[-2:] == crc16(reply[:-2])


def test_relay_states_as_the_wiki_prints_them() -> None:
    """Relays 1 and 8 closed: one byte, the first relay in its lowest bit."""
    one = master(modbus=LONE_RELAYS)
    one.exchange(bytes.fromhex("01 05 00 00 FF 00 8C 3A"))
    body = bytes.fromhex("01 05 00 07 FF 00")
    one.exchange(body + crc16(body))
    assert one.exchange(bytes.fromhex("01 01 00 00 00 08 3D CC"))[:4] == bytes.fromhex("01 01 01 81")


def test_the_thermometer_answers_as_its_manual_prints() -> None:
    """30.5 degrees and 54.6 %: 01 31 and 02 22."""
    one = master(modbus=[{"device": "xy-md02", "slave": 1}], machine={"celsius": 30.5})
    one.machine.air.humidity = 55
    one.purifier.devices["xy-md02"].settings["humidity_correction"] = -4
    assert one.exchange(bytes.fromhex("01 04 00 01 00 02 20 0B")) == bytes.fromhex("01 04 04 01 31 02 22 2A CE")


def test_the_flow_meter_s_float_has_its_low_word_first() -> None:
    """The manual's example: 80 6B 42 12 is 36.625 when the words change places."""
    row = Register("flow", 1, type="float32", point="x")
    assert b"".join(word.to_bytes(2, "big") for word in row.words(36.62540817, "low")) == bytes.fromhex("80 6B 42 12")
    assert load_device("tuf-2000m").word_order == "low"


@pytest.mark.parametrize(
    ("slave", "function", "words", "code"),
    [
        (PULSES, 4, (0, 1), 1),  # holding registers only
        (PULSES, 1, (0, 1), 1),
        (AIR, 3, (1, 1), 2),  # a holding register where an input register is
        (PULSES, 3, (5, 1), 2),
        (PULSES, 3, (0, 6), 2),  # reaches beyond the map
        (PULSES, 6, (0, 1), 2),  # not writable
        (PULSES, 6, (16, 2), 3),  # only 1 clears
        (PULSES, 3, (0, 0), 3),
        (PULSES, 3, (0, 126), 3),
        (RELAYS, 5, (8, 0xFF00), 2),
        (RELAYS, 5, (0, 0x0100), 3),  # the old dialect's "on"
        (RELAYS, 5, (0x0200, 0), 3),
        (RELAYS, 5, (0x0200, 0x8000), 3),
        (RELAYS, 1, (0, 9), 2),
        (RELAYS, 6, (0x4000, 0), 3),
        (AIR, 6, (0x0103, 101), 3),
    ],
)
def test_what_a_slave_refuses(slave: int, function: int, words: tuple[int, ...], code: int) -> None:
    reply = master().request(slave, function, *words)
    assert reply[:3] == bytes([slave, function | 0x80, code]), reply.hex(" ")
    assert reply[-2:] == crc16(reply[:-2])


def test_an_unknown_function_is_refused_where_its_check_sum_fits() -> None:
    assert master().request(PULSES, 0x2B, 0x0E01, tail=b"\0")[:3] == bytes([PULSES, 0xAB, 1])


def test_what_a_slave_does_not_answer() -> None:
    one = master()
    assert one.request(99, 3, 0, 2) == b"", "another slave"
    body = bytes([PULSES, 3, 0, 0, 0, 2])
    assert one.exchange(body + b"\0\0") == b"", "a bad check sum"
    assert one.exchange((body + crc16(body))[:6]) == b"", "half a frame"
    assert one.request(PULSES, 3, 0, 2) != b"", "and after the pause it listens again"
    only_air = master(modbus=[DEVICES[5]])
    assert only_air.request(0, 6, 0x0103, 7) == b"", "a broadcast"
    assert only_air.purifier.devices["xy-md02"].settings["temperature_correction"] == 7, "obeyed all the same"


def test_a_frame_in_pieces_is_one_frame_and_two_at_once_are_two() -> None:
    one = master()
    body = bytes([PULSES, 3, 0, 0, 0, 2])
    frame = body + crc16(body)
    one.machine.line.receive(frame[:3])
    one.machine.line.receive(frame[3:])
    assert len(one.wait(200)) == 9
    assert len(one.exchange(frame + frame)) == 18


def test_many_registers_at_once() -> None:
    """Function 16 writes as many as it says, and says where its count does not fit its bytes."""
    one = master()
    tail = bytes([4]) + (13).to_bytes(2, "big") + (0x10000 - 7).to_bytes(2, "big")
    assert one.request(AIR, 16, 0x0103, 2, tail=tail)[:6] == bytes([AIR, 16, 1, 3, 0, 2])
    assert one.read(AIR, 0x0103, 2) == bytes.fromhex("00 0D FF F9")
    wrong = one.request(AIR, 16, 0x0103, 1, tail=tail)
    assert wrong[:3] == bytes([AIR, 0x90, 3])


# --- settings ----------------------------------------------------------------------------------------------------


def test_a_new_address_is_told_under_the_old_one_and_holds() -> None:
    one = master()
    one.write(AIR, 0x0101, 33)
    assert one.request(AIR, 4, 1, 1) == b""
    assert one.read(33, 1, 1, function=4) == (250).to_bytes(2, "big")
    one.machine.power_cycle()
    one.wait(BOOT_MS + 1)
    assert one.read(33, 1, 1, function=4) != b"", "settings outlive a restart"


def test_the_relay_device_takes_its_address_by_broadcast() -> None:
    one = master(modbus=LONE_RELAYS)
    assert one.request(0, 6, 0x4000, 32)[:6] == bytes.fromhex("00 06 40 00 00 20")
    assert one.read(32, 0x4000, 1) == bytes([0, 32])


def test_a_device_at_another_speed_is_not_heard() -> None:
    one = master()
    one.write(TDS, 0x0012, 19_200)
    body = bytes([TDS, 3, 0, 4, 0, 2])
    for baud, length in ((9600, 0), (19_200, 9), (None, 9)):
        one.machine.line.receive(body + crc16(body), baud)
        assert len(one.wait(200)) == length, baud


def test_factory_settings_come_back() -> None:
    one = master()
    one.write(TDS, 0x0064, 1)
    assert one.request(TDS, 3, 4, 2) == b""
    assert len(one.read(1, 4, 2)) == 4


def test_settings_written_as_whole_numbers_and_read_as_floats() -> None:
    assert master().read(TDS, 0x0014, 2) == bytes.fromhex("41 50 00 00")  # 13.0


def test_a_restart_is_deaf_for_a_moment_and_lets_the_relays_fall() -> None:
    one = master()
    one.coil(0, 0xFF00)
    one.machine.fault("device_reset", "once", board=RELAYS)
    assert one.request(RELAYS, 1, 0, 8) == b""
    one.wait(BOOT_MS)
    assert one.closed() == []


# --- the device files --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", device_names())
def test_every_row_of_every_device_answers(name: str) -> None:
    spec = load_device(name)
    one = master(modbus=[{"device": name, "slave": 9}])
    for row in spec.register:
        length = 1 if row.type in ("uint16", "int16") else 2
        for function in row.functions:
            if function in (3, 4):
                assert len(one.read(9, row.address - spec.first, length, function)) == 2 * length, row.name


def test_every_kind_of_the_bench_is_there() -> None:
    assert sorted(device["device"] for device in DEVICES) == device_names()


def test_an_unknown_device_is_named() -> None:
    with pytest.raises(ScenarioWrong, match="device = 'tuf', expected one of pulse4, qdy30a-level"):
        load_device("tuf")


def test_unlisted_registers_of_the_flow_meter_are_nothing() -> None:
    one = master()
    assert one.read(TUF, 16, 8) == bytes(16)
    assert one.request(TUF, 3, 1500, 1)[:3] == bytes([TUF, 0x83, 2])


def test_boards_and_devices_share_one_line() -> None:
    """Either understands its own, and a burst of the other's is over with the next pause."""
    shared = master(machine={"board": [{"address": 1, "motors": 4}, {"address": 2, "motors": 4}]})
    for _ in range(20):
        assert shared.ask(1, 0x03)[1] == 0x03
        assert len(shared.read(PULSES, 0, 5)) == 10
        assert shared.ask(2, 0x01)[2:8] == b"ADH815"
        shared.coil(0x0200, 1)
