"""What a disk may hold after a power cut, from one recorded run.

`record` runs a program under strace and keeps every change it made to files in one folder, in order, together with
*marks*: what the program told the world outside (bytes to a board, an acknowledgement). `images` then replays the
record to every point at which the power could have gone, and yields what the disk may hold there:

* what was written before a file's last fsync or fdatasync is there;
* of what was written after it any subset may be there, and the last write may be torn at 512 bytes;
* a new, renamed or removed name is certain after an fsync of the folder; before that any prefix of such changes is.

A name counts as certain only by the folder's fsync, which is stricter than ext4. Memory maps are not recorded: a
program that writes through one cannot be judged here (the ledger's connection is exclusive and has none).
"""

from __future__ import annotations

import random
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

SECTOR = 512
_CALLS = "openat,pwrite64,write,sendto,fsync,fdatasync,ftruncate,unlink,unlinkat,rename,renameat,renameat2"
# Longer than any write of the ledger: strace cuts what is longer, and a cut write would be replayed wrongly.
_STRING_MAX = 4_000_000


@dataclass(frozen=True, slots=True)
class Write:
    name: str
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Truncate:
    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Create:
    name: str


@dataclass(frozen=True, slots=True)
class Rename:
    name: str
    to: str


@dataclass(frozen=True, slots=True)
class Remove:
    name: str


@dataclass(frozen=True, slots=True)
class Sync:
    """`name` is empty for the folder itself."""

    name: str


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that the world outside learned, and will hold us to."""

    text: str


Op = Write | Truncate | Create | Rename | Remove | Sync | Mark
Image = dict[str, bytes]


def record(argv: Sequence[str], folder: Path, mark_of: Callable[[str, bytes], str | None]) -> list[Op]:
    """Run `argv` under strace; returns its operations in `folder`.

    `mark_of(path, data)` says what a write to a file or socket outside of the folder told the world, None for nothing.
    """
    log = folder.with_name(folder.name + ".strace")
    try:
        done = subprocess.run([*recorder(log), *argv], capture_output=True, text=True, timeout=100, check=False)
    except FileNotFoundError as missing:
        raise AssertionError("strace is needed: apt-get install strace") from missing
    assert done.returncode == 0, done.stderr
    return operations(log, folder, mark_of)


def recorder(log: Path) -> tuple[str, ...]:
    """What runs a program and writes its operations to `log`."""
    return ("strace", "-f", "-y", "-xx", "-s", str(_STRING_MAX), "-e", f"trace={_CALLS}", "-o", str(log))


def operations(log: Path, folder: Path, mark_of: Callable[[str, bytes], str | None]) -> list[Op]:
    """The operations in `folder` of a program that a `recorder` has run."""
    return list(_Reader(folder, mark_of).read(log.read_text(encoding="ascii").splitlines()))


_DONE = re.compile(r"(\d+) +(\w+)\((.*)\) += (-?\d+)")
_BEGUN = re.compile(r"(\d+) +(\w+)\((.*) <unfinished \.\.\.>")
_RESUMED = re.compile(r"(\d+) +<\.\.\. \w+ resumed>(.*)")
_FILE = re.compile(r"\d+<([^>]*)>")
_STRING = re.compile(r'"([^"]*)"')


def _plain(escaped: str) -> bytes:
    return bytes.fromhex(escaped.replace("\\x", ""))


class _Reader:
    """Turns strace's lines into operations; a call counts when it returns."""

    def __init__(self, folder: Path, mark_of: Callable[[str, bytes], str | None]) -> None:
        self._folder = str(folder)
        self._mark_of = mark_of
        self._begun: dict[str, str] = {}
        self._offsets: dict[str, int] = {}

    def read(self, lines: list[str]) -> Iterator[Op]:
        for line in lines:
            if begun := _BEGUN.match(line):
                self._begun[begun[1]] = f"{begun[1]} {begun[2]}({begun[3]}"
                continue
            if resumed := _RESUMED.match(line):
                line = self._begun.pop(resumed[1]) + resumed[2]
            done = _DONE.match(line)
            if done and int(done[4]) >= 0:
                yield from self._call(done[2], done[3], int(done[4]))

    def _call(self, call: str, args: str, result: int) -> Iterator[Op]:
        if call in ("write", "pwrite64", "sendto"):
            yield from self._write(call, args, result)
        elif call in ("fsync", "fdatasync", "ftruncate"):
            name = self._name(self._file(args))
            if name is not None:
                yield Truncate(name, int(args.rsplit(", ", 1)[1])) if call == "ftruncate" else Sync(name)
        else:
            names = [self._name(_plain(text).decode()) for text in _STRING.findall(args)]
            yield from self._naming(call, args, names)

    def _naming(self, call: str, args: str, names: list[str | None]) -> Iterator[Op]:
        name = names[0]
        if not name:
            assert len(names) == 1 or not names[1], "a file moved into the folder from outside cannot be replayed"
            return
        if call == "openat":
            self._offsets[name] = 0
            if "O_CREAT" in args:
                yield Create(name)
            if "O_TRUNC" in args:
                yield Truncate(name, 0)
        elif call.startswith("rename"):
            assert names[1], "a file moved out of the folder cannot be replayed"
            yield Rename(name, names[1])
        else:
            yield Remove(name)

    def _write(self, call: str, args: str, result: int) -> Iterator[Op]:
        path = self._file(args)
        text = _STRING.search(args)
        assert text is not None
        data = _plain(text[1])
        assert len(data) >= result, "strace cut a write short"
        name = self._name(path)
        if not name:
            mark = self._mark_of(path, data)
            if mark is not None:
                yield Mark(mark)
            return
        if call == "pwrite64":
            offset = int(args.rsplit(", ", 1)[1])
        else:
            offset = self._offsets[name]
            self._offsets[name] += result
        yield Write(name, offset, data[:result])

    def _file(self, args: str) -> str:
        found = _FILE.match(args)
        return _plain(found[1]).decode(errors="replace") if found else ""

    def _name(self, path: str) -> str | None:
        """The path below the folder, empty for the folder itself, None outside."""
        if path == self._folder:
            return ""
        return path[len(self._folder) + 1 :] if path.startswith(self._folder + "/") else None


Change = Write | Truncate


@dataclass
class _File:
    """One file: what is certain of it, and what was done since its last sync."""

    certain: bytes = b""
    pending: list[Change] = field(default_factory=list)


@dataclass
class Disk:
    """What is certain, and what may be."""

    certain_names: dict[str, _File] = field(default_factory=dict)
    names: dict[str, _File] = field(default_factory=dict)
    pending_names: list[dict[str, _File]] = field(default_factory=list)  # the folder after each uncertain change

    def apply(self, op: Op) -> None:
        """Go one step further in the record."""
        match op:
            case Write(name) | Truncate(name):
                self.names[name].pending.append(op)
            case Create(name):
                if name not in self.names:
                    self._rename({**self.names, name: _File()})
            case Remove(name):
                self._rename({known: file for known, file in self.names.items() if known != name})
            case Rename(name, to):
                moved = {known: file for known, file in self.names.items() if known != name}
                self._rename({**moved, to: self.names[name]})
            case Sync(""):
                self.certain_names, self.pending_names = self.names, []
            case Sync(name):
                file = self.names[name]
                file.certain, file.pending = _applied(file.certain, file.pending), []
            case Mark():
                pass

    def _rename(self, names: dict[str, _File]) -> None:
        self.names = names
        self.pending_names.append(names)

    def outcomes(self, chance: random.Random, *, thorough: bool) -> Iterator[Image]:
        """What may be found after a cut here: always nothing, everything and a torn last write of what is uncertain.

        `thorough` adds every single change lost, every single one kept, and random subsets.
        """
        for names in (self.certain_names, *self.pending_names):
            changes = [(name, change) for name, file in names.items() for change in file.pending]
            full = range(len(changes))
            subsets: list[set[int]] = [set(), set(full)]
            if thorough:
                subsets += [{index} for index in full]
                subsets += [set(full) - {index} for index in full]
                subsets += [{index for index in full if chance.random() < 0.5} for _ in range(len(changes))]
            for kept in subsets:
                yield self._image(names, {id(changes[index][1]) for index in kept})
            if changes and isinstance(last := changes[-1][1], Write):
                yield from self._torn(names, changes[-1][0], last, {id(change) for _, change in changes[:-1]})

    def _torn(self, names: dict[str, _File], name: str, last: Write, others: set[int]) -> Iterator[Image]:
        whole = self._image(names, others)
        for size in range(SECTOR, len(last.data), SECTOR):
            yield {**whole, name: _applied(whole[name], [Write(name, last.offset, last.data[:size])])}

    @staticmethod
    def _image(names: dict[str, _File], kept: set[int]) -> Image:
        return {
            name: _applied(file.certain, [change for change in file.pending if id(change) in kept])
            for name, file in names.items()
        }


def _applied(content: bytes, changes: Sequence[Change]) -> bytes:
    raw = bytearray(content)
    for change in changes:
        if isinstance(change, Truncate):
            raw = raw[: change.size].ljust(change.size, b"\0")
        else:
            end = change.offset + len(change.data)
            raw.extend(bytes(max(0, end - len(raw))))
            raw[change.offset : end] = change.data
    return bytes(raw)


@dataclass(frozen=True, slots=True)
class Cut:
    """One possible disk: `at` operations were done, `told` is what the world had heard by then."""

    at: int
    told: tuple[str, ...]
    image: Image


def cuts(ops: Sequence[Op], *, seed: int = 1) -> Iterator[Cut]:
    """Every distinct disk that a power cut during the recorded run may leave.

    Each operation is a point to cut at; those right before a sync or a mark, where most is uncertain and where the
    world learns of it, are looked at thoroughly.
    """
    chance = random.Random(seed)
    disk = Disk()
    told: list[str] = []
    seen: set[tuple[object, ...]] = set()
    for at, op in enumerate([*ops, Mark("end")]):
        for image in disk.outcomes(chance, thorough=isinstance(op, Sync | Mark)):
            key = (len(told), *((name, hash(content)) for name, content in sorted(image.items())))
            if key not in seen:
                seen.add(key)
                yield Cut(at, tuple(told), image)
        disk.apply(op)
        if isinstance(op, Mark):
            told.append(op.text)
