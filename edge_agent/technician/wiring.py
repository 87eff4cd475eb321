"""What the pattern of errors on a line says about its wiring. Pure: statistics in, findings out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

Statistics = Mapping[str, Any]

# Too few questions say nothing about a rate.
ASKED_MIN: Final = 20
# A sound line loses less than one answer in two hundred; from one in fifty on it is worth a look at the cable.
LOSS_PERCENT_MAX: Final = 2
# Noise bytes per thousand questions that interference explains; a wrong speed makes more noise than answers.
NOISE_PER_THOUSAND_MAX: Final = 50
# The port was lost and found again so often: an adapter or its power is loose.
OPENINGS_MAX: Final = 3

Pattern = Literal[
    "port_down",  # the port does not open
    "adapter_lost",  # the port came and went
    "all_silent",  # no slave answers and nothing comes back
    "garbage",  # something comes back, and none of it is an answer
    "one_silent",  # one slave does not answer while others do
    "lossy",  # answers are missing now and then
    "noisy",  # bytes between the answers that belong to nothing
    "late",  # answers come when nobody waits any more
    "strays",  # answers nobody asked for
]


@dataclass(frozen=True, slots=True)
class Finding:
    """One pattern on a line; `slave` when it concerns one of them; `figures` for the detail."""

    pattern: Pattern
    url: str
    slave: str | None = None
    figures: str = ""


def findings(line: Statistics) -> list[Finding]:
    """What is wrong with one line, the most telling first; empty when it is sound or was hardly used."""
    return list(_findings(line))


def _findings(line: Statistics) -> Iterator[Finding]:
    url, slaves = line["url"], line["slaves"]
    if line["down"] is not None:
        yield Finding("port_down", url, figures=line["down"])
        return
    if line["openings"] > OPENINGS_MAX:
        yield Finding("adapter_lost", url, figures=str(line["openings"]))
    asked = sum(seen["asked"] for seen in slaves.values())
    answered = sum(seen["answered"] for seen in slaves.values())
    used = {slave: seen for slave, seen in slaves.items() if seen["asked"]}
    given_up = [slave for slave, seen in used.items() if not seen["answered"] or seen["breaker"] != "closed"]
    # Most of what it did not answer in time came later: it is there, and slow.
    slow = [slave for slave in given_up if used[slave]["late"] * 2 > used[slave]["silent"]]
    silent = [slave for slave in given_up if slave not in slow]
    if used and len(silent) == len(used):
        never = line["noise_bytes"] and not answered
        yield Finding("garbage" if never else "all_silent", url, figures=str(line["noise_bytes"]))
        return
    yield from (Finding("one_silent", url, slave) for slave in silent)
    yield from (Finding("late", url, slave, str(used[slave]["late"])) for slave in slow)
    for slave, seen in slaves.items():
        if slave not in given_up and seen["asked"] >= ASKED_MIN:
            yield from _of_slave(url, slave, seen)
    if asked >= ASKED_MIN and line["noise_bytes"] * 1000 > asked * NOISE_PER_THOUSAND_MAX:
        yield Finding("noisy", url, figures=str(line["noise_bytes"]))
    if line["strays"]:
        yield Finding("strays", url, figures=str(line["strays"]))


def _of_slave(url: str, slave: str, seen: Statistics) -> Iterator[Finding]:
    lost = seen["silent"] * 100 / seen["asked"]
    if lost > LOSS_PERCENT_MAX:
        yield Finding("lossy", url, slave, f"{lost:.1f} %")
    if seen["late"] * 100 > seen["asked"] * LOSS_PERCENT_MAX:
        yield Finding("late", url, slave, str(seen["late"]))
