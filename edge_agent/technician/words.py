"""What the command is made of: a word, its arguments, the words that may follow it."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from edge_agent.technician.desk import Desk


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument, as `argparse.add_argument` takes it; `about` is a sentence to be translated."""

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


YES = argument("--yes", about="do not ask", action="store_true")
