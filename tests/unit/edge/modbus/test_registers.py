"""Every type in every order: what is encoded is decoded again, and what makers print is what comes out."""

from __future__ import annotations

import math
import struct
from fractions import Fraction
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.devices.modbus_profile import Profile, Register, exact_text
from edge_agent.devices.profile_file import load_profile
from edge_agent.wire.modbus import Read

ORDERS = list(product(("high_first", "low_first"), repeat=2))
RANGES = {"u16": (0, 2**16 - 1), "i16": (-(2**15), 2**15 - 1), "u32": (0, 2**32 - 1), "i32": (-(2**31), 2**31 - 1)}


def register(**keys: Any) -> Register:
    return Register(**({"name": "r", "address": 0, "type": "u16"} | keys))


@pytest.mark.parametrize(("word_order", "byte_order"), ORDERS)
@pytest.mark.parametrize("kind", sorted(RANGES))
@given(data=st.data())
def test_whole_numbers_come_back(kind: str, word_order: str, byte_order: str, data: st.DataObject) -> None:
    number = data.draw(st.integers(*RANGES[kind]))
    one = register(type=kind, word_order=word_order, byte_order=byte_order)
    words = one.encode(Fraction(number))
    assert len(words) == one.length
    assert all(0 <= word <= 0xFFFF for word in words)
    assert one.decode(words) == number


@pytest.mark.parametrize(("word_order", "byte_order"), ORDERS)
@given(number=st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_numbers_with_a_point_come_back_exactly(word_order: str, byte_order: str, number: float) -> None:
    one = register(type="f32", word_order=word_order, byte_order=byte_order)
    assert one.decode(one.encode(Fraction(number))) == Fraction(number)


@pytest.mark.parametrize("kind", ["u32", "i32", "f32"])
def test_the_four_orders_of_two_words_are_four(kind: str) -> None:
    encoded = {
        tuple(register(type=kind, word_order=word, byte_order=byte).encode(Fraction(36))) for word, byte in ORDERS
    }
    assert len(encoded) == 4


@pytest.mark.parametrize(
    ("word_order", "byte_order", "raw"),
    [
        ("high_first", "high_first", "42 12 80 6B"),
        ("low_first", "high_first", "80 6B 42 12"),  # as the TUF-2000M's manual prints it
        ("high_first", "low_first", "12 42 6B 80"),
        ("low_first", "low_first", "6B 80 12 42"),
    ],
)
def test_the_makers_example_is_read_in_each_order(word_order: str, byte_order: str, raw: str) -> None:
    words = struct.unpack(">2H", bytes.fromhex(raw))
    value = register(type="f32", word_order=word_order, byte_order=byte_order).decode(words)
    assert isinstance(value, Fraction)
    assert value == Fraction(struct.unpack(">f", bytes.fromhex("42 12 80 6B"))[0])
    assert exact_text(round(value * 1000) / Fraction(1000)) == "36.625"


@pytest.mark.parametrize("kind", sorted(RANGES))
def test_what_does_not_fit_is_refused(kind: str) -> None:
    least, most = RANGES[kind]
    for number in (least - 1, most + 1):
        with pytest.raises(ValueError, match="does not fit"):
            register(type=kind).encode(Fraction(number))
    with pytest.raises(ValueError, match="does not fall on a step"):
        register(type=kind).encode(Fraction(1, 2))


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_no_value(number: float) -> None:
    words = struct.unpack(">2H", struct.pack(">f", number))
    assert register(type="f32").decode(words) is None


@given(st.integers(0, 2**12 - 1))
def test_bits_come_back(bits: int) -> None:
    coils = register(type="bits", function=1, count=12)
    assert len(coils.encode(bits)) == 12
    assert coils.decode(coils.encode(bits)) == bits
    assert register(type="bits").decode([bits]) == bits


@pytest.mark.parametrize("byte_order", ["high_first", "low_first"])
@given(text=st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=8))
def test_text_comes_back(byte_order: str, text: str) -> None:
    name = register(type="ascii", count=4, byte_order=byte_order)
    assert name.decode(name.encode(text)) == text


def test_an_absent_probe_is_no_value() -> None:
    assert register(type="i16", absent=(32767, -1)).decode([0x7FFF]) is None
    assert register(type="i16", absent=(32767, -1)).decode([0xFFFF]) is None
    assert register(type="i16", absent=(32767, -1)).decode([0]) == 0


# --- scale, unit, belief ---


def qdy30a(unit: int, decimals: int, value: int) -> tuple[Any, str, str | None]:
    profile = load_profile("qdy30a")
    raw = {
        name: profile.named(name).decode([number & 0xFFFF])
        for name, number in (("unit", unit), ("decimals", decimals), ("value", value))
    }
    measured = profile.measured(profile.named("value"), raw)
    return measured.value, measured.unit, measured.problem


def test_unit_and_decimals_come_from_the_registers_beside() -> None:
    assert qdy30a(10, 1, 123) == (Fraction("12.3"), "kPa", None)
    assert qdy30a(17, 0, -5) == (-5, "mmH2O", None)
    assert qdy30a(10, 1, 32767) == (None, "kPa", "no probe")
    assert qdy30a(99, 1, 5)[2] == "unit is 99, which has no label"
    assert qdy30a(10, 40, 5)[2] == "decimals is 40, expected 0 to 9"


def test_a_value_outside_of_what_can_be_true_is_a_problem() -> None:
    profile = load_profile("xy-md02")
    warm = profile.named("temperature")
    assert profile.measured(warm, {"temperature": Fraction(235)}).value == Fraction("23.5")
    assert profile.measured(warm, {"temperature": Fraction(9_999)}).problem == "999.9 is outside -40 to 125"


@given(st.integers(-(10**12), 10**12), st.integers(1, 10**6))
def test_text_for_people_is_right_to_six_decimals(numerator: int, denominator: int) -> None:
    value = Fraction(numerator, denominator)
    assert abs(Fraction(exact_text(value)) - value) <= Fraction(1, 2_000_000)


# --- what travels together ---


def test_neighbours_travel_together_and_nothing_between_is_read() -> None:
    tuf = load_profile("tuf-2000m")
    reads = [read for read, _ in tuf.reads(tuf.register)]
    assert Read(3, 8, 4) in reads  # whole and fraction of the totaliser; the maker's 9 is 8 on the wire
    assert sum(read.count for read in reads) == sum(register.length for register in tuf.register)


def test_a_read_is_never_longer_than_a_request_may_ask() -> None:
    names = [f"r{at}" for at in range(300)]
    rows = tuple(register(name=name, address=at) for at, name in enumerate(names))
    profile = Profile(name="long", description="d", source="s", fence=(), register=rows)
    reads = profile.reads(profile.register)
    assert [read.count for read, _ in reads] == [125, 125, 50]
    assert [each.name for _, together in reads for each in together] == names
