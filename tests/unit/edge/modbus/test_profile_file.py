"""Profile files: the shipped ones are right, and a wrong one is told by file, line, key, value and expectation."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.devices import profile_file
from edge_agent.devices.modbus_profile import profile_schema
from edge_agent.devices.profile_file import check_profile, load_profile, shipped_profiles
from edge_agent.errors import SettingsWrong

SHIPPED = {"tuf-2000m", "waveshare-relay-8", "ws102-tds", "qdy30a", "xy-md02", "pulse4", "vmu-mc"}
SCHEMA = Path(profile_file.__file__).parent / "profiles" / "profile.schema.json"

GOOD = """\
name = "pulse-x"
description = "A pulse counter"
source = "a test"

[[fence]]
address = 9
count = 3

[[register]]
name = "counter"
address = 0
type = "u32"
poll = "fast"

[[register]]
name = "trim"
address = 6
type = "i16"
scale = "0.1"

    [register.write]
    least = -5
    most = 5

[meter]
whole = "counter"
modulus = 4294967296
counts_per_litre_milli = 450000
litres_per_minute_max = 30
"""


def findings(folder: Path, text: str) -> list[str]:
    path = folder / "x.toml"
    path.write_text(text, encoding="utf-8")
    return [finding.removeprefix(f"{path}:") for finding in check_profile(path)]


def line_of(text: str) -> int:
    """The line of GOOD that begins with this."""
    return next(number for number, line in enumerate(GOOD.splitlines(), 1) if line.strip().startswith(text))


def test_the_shipped_profiles_are_right() -> None:
    assert set(shipped_profiles()) == SHIPPED
    for name, path in shipped_profiles().items():
        assert check_profile(path) == []
        assert load_profile(name).name == name


def test_the_schema_beside_them_is_the_format() -> None:
    assert json.loads(SCHEMA.read_text(encoding="utf-8")) == json.loads(json.dumps(profile_schema()))


def test_the_example_of_the_guide_can_be_used(tmp_path: Path) -> None:
    guide = (Path(__file__).parents[4] / "docs" / "modbus-profiles.md").read_text(encoding="utf-8")
    (example,) = [block for block in re.findall(r"```toml\n(.*?)```", guide, re.DOTALL) if block.startswith("name")]
    assert findings(tmp_path, example) == []


def test_a_good_file_has_no_findings(tmp_path: Path) -> None:
    assert findings(tmp_path, GOOD) == []


# What is changed in GOOD, the line whose number must be told, and the finding behind it.
WRONG = {
    "a type that is none": (
        'type = "u32"',
        'type = "u17"',
        'type = "u32"',
        "register[0].type: 'u17': expected one of ascii, bits, f32, i16, i32, u16, u32",
    ),
    "a key that is none": (
        'poll = "fast"',
        'pool = "fast"',
        'poll = "fast"',
        "register[0].pool: 'fast': expected one of the keys name, function, address",
    ),
    "a key that is missing": ("address = 0\n", "", "[[register]]", "register[0]: expected the key 'address'"),
    "text for a number": ("address = 6", 'address = "6"', "address = 6", "register[1].address: '6': expected int"),
    "a number out of range": (
        "address = 9",
        "address = 70000",
        "address = 9",
        "fence[0].address: 70000: expected int <= 65536",
    ),
    "a scale that is no number": (
        'scale = "0.1"',
        'scale = "a tenth"',
        'scale = "0.1"',
        "register[1].scale: 'a tenth': expected",
    ),
    "a scale of nothing": (
        'scale = "0.1"',
        "scale = 0",
        'scale = "0.1"',
        "register[1].scale: 0: expected anything but 0",
    ),
    "a name twice": (
        'name = "trim"',
        'name = "counter"',
        'name = "trim"',
        "register[1].name: 'counter': expected a name that no other register has",
    ),
    "a register behind the last": (
        "address = 0\n",
        "address = 65535\n",
        "address = 0",
        "register[0].address: 65535: expected 0 to 65534",
    ),
    "a write that can do harm": (
        "    most = 5",
        "    most = 99999",
        "most = 5",
        "register[1].write.most: 99999: expected a value that i16 with scale 0.1 can hold",
    ),
    "limits that are turned round": (
        "    least = -5",
        "    least = 6",
        "least = -5",
        "register[1].write.least: 6: expected at most 5",
    ),
    "a fence that looks like another read": (
        "count = 3",
        "count = 2",
        "[[fence]]",
        "fence[0]: expected another function or length than 'read 3 at 0, 2' has",
    ),
    "a meter without a counter": (
        'whole = "counter"',
        'whole = "count"',
        'whole = "counter"',
        "meter.whole: 'count': expected the name of a register of type u16 or u32 or i32",
    ),
    "a counter that wraps unsaid": (
        "modulus = 4294967296\n",
        "",
        "[meter]",
        "meter: expected modulus, because u32 begins again at 0",
    ),
    "a probe that is no register": (
        "[meter]",
        '[probes]\ntds = "salt"\n\n[meter]',
        "[meter]",
        "probes.tds: 'salt': expected the name of a register",
    ),
}


@pytest.mark.parametrize("case", sorted(WRONG))
def test_a_wrong_file_is_told_by_line_and_key(case: str, tmp_path: Path) -> None:
    old, new, line, finding = WRONG[case]
    assert GOOD.count(old) == 1
    told = findings(tmp_path, GOOD.replace(old, new))
    extra = 1 if case == "a probe that is no register" else 0
    assert any(each.startswith(f"{line_of(line) + extra}: {finding}") for each in told), told


def test_all_findings_of_a_file_are_told_at_once(tmp_path: Path) -> None:
    text = GOOD.replace('name = "trim"', 'name = "counter"').replace('scale = "0.1"', "scale = 0")
    assert len(findings(tmp_path, text)) >= 2


def test_what_is_not_toml_is_told_by_line(tmp_path: Path) -> None:
    assert findings(tmp_path, GOOD.replace("[meter]", "[meter"))[0].startswith(f"{line_of('[meter]')}: not TOML: ")
    (tmp_path / "y.toml").write_bytes(b"\xff\xfe")
    assert "not TOML" in check_profile(tmp_path / "y.toml")[0]


def test_what_cannot_be_a_profile_is_refused(tmp_path: Path) -> None:
    assert "No such file" in check_profile(tmp_path / "none.toml")[0]
    (tmp_path / "big.toml").write_text("#" * (profile_file.FILE_BYTES_MAX + 1), encoding="utf-8")
    assert "expected a profile, at most" in check_profile(tmp_path / "big.toml")[0]
    with pytest.raises(SettingsWrong, match="expected a file, or one of pulse4, "):
        load_profile("tuf-3000")
    findings(tmp_path, "")
    with pytest.raises(SettingsWrong, match=r"x\.toml:1: profile: expected the key 'name'"):
        load_profile(str(tmp_path / "x.toml"))


@given(st.data())
def test_no_file_makes_the_check_itself_fail(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Lines lost, doubled and changed anywhere: a list of findings comes back, each with the file's name."""
    lines = GOOD.splitlines()
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(lines) - 1))
        other = data.draw(st.sampled_from([*lines, "", "x = 1", "register = 5", "meter = []", "[register.write]"]))
        lines[at : at + data.draw(st.integers(0, 1))] = [other]
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_text("\n".join(lines), encoding="utf-8")
    assert all(finding.startswith(str(path)) for finding in check_profile(path))
