"""Messages that nobody can read, made from real ones: seeded, all counted, none of them valid by luck."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random

import msgspec

from shared.envelope import Envelope, pack
from shared.ids import MachineId
from shared.messages import (
    Claim,
    Command,
    Fact,
    Grant,
    Hello,
    Offer,
    Reading,
    Readings,
    StockCounted,
    VendDelivered,
    Watermark,
    encode,
)
from shared.topics import DownChannel, UpChannel, down, up

# More than any reader takes, less than the broker's own limit; few, because each is kept with up to 64 kB.
HUGE = 100_000
HUGE_EVERY = 250
DEEP = 20_000

Mutation = Callable[[bytes, Random], bytes]


class Stream:
    """The numbered facts of a machine without an agent."""

    def __init__(self, machine: str) -> None:
        self.machine = machine
        self.seq = 0

    def next(self, fact: Fact | msgspec.Raw) -> bytes:
        """The next fact in line."""
        self.seq += 1
        return self.envelope(fact, self.seq)

    def envelope(self, fact: Fact | msgspec.Raw, seq: int) -> bytes:
        raw = fact if isinstance(fact, msgspec.Raw) else msgspec.Raw(encode(fact))
        return pack(
            Envelope(
                machine=self.machine,
                epoch="e-rubbish",
                seq=seq,
                prev=seq - 1,
                boot_id="b-rubbish",
                mono_ms=1_000 + seq,
                wall_ms=1_795_000_000_000,
                clock_state="restored",
                fact=raw,
            )
        )


def cut(good: bytes, dice: Random) -> bytes:
    """The beginning of an object is no object."""
    return good[: dice.randrange(len(good))]


def stuttered(good: bytes, dice: Random) -> bytes:
    """Something behind the end."""
    return good + b"%d" % dice.randrange(10**9)


def not_utf8(good: bytes, dice: Random) -> bytes:
    """A byte that no UTF-8 text has, inside the first key."""
    return good[:2] + bytes([dice.choice((0xC0, 0xC1, *range(0xF5, 0x100)))]) + b"%d" % dice.randrange(10**9) + good[2:]


def noise(good: bytes, dice: Random) -> bytes:
    """Bytes that begin like no JSON."""
    return b"\x00" + dice.randbytes(dice.randrange(80))


def not_a_number(good: bytes, dice: Random) -> bytes:
    """NaN and infinities are words of JavaScript, not of JSON."""
    word = dice.choice((b"NaN", b"Infinity", b"-Infinity"))
    return good[:-1] + b',"x%d":%s}' % (dice.randrange(10**9), word)


def another_type(good: bytes, dice: Random) -> bytes:
    """One field of the wrong type; every field of these messages is required, and none takes an array of this."""
    fields = json.loads(good)
    fields[dice.choice(sorted(fields))] = [[{"wrong": dice.randrange(10**9)}]]
    return json.dumps(fields).encode()


def incomplete(good: bytes, dice: Random) -> bytes:
    """No field is left but one that means nothing."""
    return json.dumps({"nonsense": dice.randrange(10**9)}).encode()


def deep(good: bytes, dice: Random) -> bytes:
    """Brackets beyond every stack."""
    return dice.choice((b"[", b'{"a":')) * DEEP + b"%d" % dice.randrange(10**9)


def scalar(good: bytes, dice: Random) -> bytes:
    """JSON, but no object."""
    return dice.choice((b"%d", b'"%d"', b"[%d]", b"-0.%d")) % dice.randrange(1, 10**9)


def huge(good: bytes, dice: Random) -> bytes:
    """A readable object with far too much in it."""
    return good[:-1] + b',"x%d":"' % dice.randrange(10**9) + b"x" * HUGE + b'"}'


MUTATIONS: tuple[Mutation, ...] = (
    cut,
    stuttered,
    not_utf8,
    noise,
    not_a_number,
    another_type,
    incomplete,
    deep,
    scalar,
)


def up_rubbish(stream: Stream, count: int, seed: int) -> list[tuple[str, bytes]]:
    """Topic and payload of `count` messages of one machine, on every channel that is read and on one that is none.

    `gone` is not among the channels: its payload is the broker's and is never read. A fifth are facts in line whose
    envelope is sound and whose fact is not: they must count as applied. The stream must have begun: the other facts
    are made from its number 1, which is then taken.
    """
    dice = Random(seed)
    machine = MachineId(stream.machine)
    hello = Hello(machine=machine, epoch="e", boot_id="b", next_seq=1, oldest_seq=1, config_version=1, software="s")
    reading = Reading(sensor="cabinet", unit="C", value=4_000, wall_ms=1)
    goods: dict[UpChannel, bytes] = {
        "fact": stream.envelope(StockCounted(aisle="1-00", goods="g", counted=1, expected=1), 1),
        "claim": encode(Claim(order="o", nonce="n", boot_id="b", epoch="e")),
        "hello": encode(hello),
        "reading": encode(Readings(boot_id="b", readings=(reading,))),
    }
    channels = sorted(goods)
    messages = []
    for number in range(count):
        if number % 5 == 0:
            messages.append((up(machine, "fact"), stream.next(unreadable_fact(dice))))
            continue
        channel = dice.choice(channels)
        mutate = huge if number % HUGE_EVERY == 1 else dice.choice(MUTATIONS)
        topic = up(machine, channel) if number % 50 != 2 else up(machine, channel) + "s"
        messages.append((topic, mutate(goods[channel], dice)))
    return messages


def unreadable_fact(dice: Random) -> msgspec.Raw:
    """JSON that is no fact of this release, or one whose value means nothing here."""
    counted = StockCounted(aisle="1-00", goods="water", counted=1, expected=1)
    fields = json.loads(encode(counted))
    change = dice.choice(
        (
            {"type": f"brewed_{dice.randrange(10**6)}"},
            {"counted": -1 - dice.randrange(10**6)},
            {"aisle": "../../etc/passwd"},
            {"goods": None},
            {"counted": 10**30},
        )
    )
    return msgspec.Raw(json.dumps(fields | change).encode())


def down_rubbish(machine: MachineId, count: int, seed: int) -> list[tuple[str, bytes]]:
    """Topic and payload of `count` messages to one machine on every channel.

    None is huge: what the broker lets through, a command may have.
    """
    dice = Random(seed)
    sold = VendDelivered(
        order="o", aisle="1-00", goods="g", price_fen=1, source="order", means="escrow", paid_fen=1, txn=1
    )
    goods: dict[DownChannel, bytes] = {
        "offer": encode(Offer(order="o", aisle="1-00", goods="water-550", price_fen=200)),
        "grant": encode(Grant(order="o", nonce="n", boot_id="b", mac="0" * 64)),
        "watermark": encode(Watermark(epoch="e", applied=1, incarnation="i")),
        "command": encode(Command(command="c", ask=msgspec.Raw(encode(sold)), mac="0" * 64)),
    }
    channels = sorted(goods)
    messages = []
    for number in range(count):
        channel = channels[number % len(channels)]
        messages.append((down(machine, channel), dice.choice(MUTATIONS)(goods[channel], dice)))
    return messages
