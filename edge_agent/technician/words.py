"""What the command is made of: a word, its arguments, the words that may follow it."""

from __future__ import annotations

from argparse import ArgumentTypeError, Namespace
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from edge_agent.technician.desk import Desk
from edge_agent.technician.speech import Speech


@dataclass(frozen=True, slots=True)
class Number:
    """What an argument takes that is a number: from `least` to `most`, and whole unless `kind` is float."""

    least: float
    most: float
    kind: type[int] | type[float] = int

    def read(self, say: Speech, text: str) -> float:
        """The number, or argparse's error with the range."""
        try:
            value = self.kind(text)
        except ValueError:
            value = None
        if value is None or not self.least <= value <= self.most:
            limits = {"text": text, "least": f"{self.least:g}", "most": f"{self.most:.0f}"}
            if self.kind is int:
                raise ArgumentTypeError(say("{text}: expected a whole number from {least} to {most}", **limits))
            raise ArgumentTypeError(say("{text}: expected a number from {least} to {most}", **limits))
        return value


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument, as `argparse.add_argument` takes it; `about` is a sentence to be translated.

    Its `type` has a method `read(say, text)`.
    """

    names: tuple[str, ...]
    about: str
    options: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Word:
    """One word of the command; `words` are those that may follow it."""

    name: str
    about: str
    run: Callable[[Desk, Namespace], Awaitable[int]] | None = None
    arguments: tuple[Argument, ...] = ()
    words: tuple[Word, ...] = ()


def argument(*names: str, about: str, **options: Any) -> Argument:
    """One argument of a word."""
    return Argument(names, about, tuple(options.items()))


def taken(one: Argument, say: Speech) -> dict[str, Any]:
    """What `argparse.add_argument` is told of it, in the person's language."""
    options = dict(one.options)
    if "type" in options:
        options["type"] = partial(options["type"].read, say)
    return options | {"help": say(one.about)}


YES = argument("--yes", about="do not ask", action="store_true")
