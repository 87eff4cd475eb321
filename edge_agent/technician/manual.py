"""The manual page, made from the command line itself: `python -m edge_agent.technician.manual > docs/aislectl.1`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Final

from edge_agent.technician.cli import WORDS
from edge_agent.technician.desk import SETTINGS_FILE, SETTINGS_VARIABLE
from edge_agent.technician.words import Argument, Word

_HEAD: Final = r""".TH AISLECTL 1 "" "AisleFlow" "Technician's command"
.SH NAME
aislectl \- what a technician asks of a machine, beside it and without a network
.SH SYNOPSIS
.B aislectl
[\fB\-\-json\fR] [\fB\-\-socket\fR \fIPATH\fR] [\fB\-\-settings\fR \fIFILE\fR] \fIWORD\fR ...
.SH DESCRIPTION
.B aislectl
talks to the agent of this computer over its local socket. The kernel tells the agent which account asks; root, the
agent's own user and the members of the socket's group may. Nothing here needs the cloud; what was done is told to it
later.
.PP
.BR test\-aisle " and " sweep
turn motors in the lane of the sales and are no sales: what falls is booked out under the name "test".
.SH OPTIONS
.TP
.B \-\-json
One JSON answer on one line, also for errors: {"error": {"reason": ..., "detail": ...}}.
.TP
.BI \-\-socket " PATH"
The agent's socket, instead of the one that the settings name.
.TP
.BI \-\-settings " FILE"
The agent's settings file, instead of %s.
.SH WORDS
"""

_TAIL: Final = r""".SH EXIT STATUS
.TP
.B 0
done
.TP
.B 1
refused, or what was asked did not succeed (a motor that did not deliver, a pour that
ended early, a bad finding of the doctor, an answer that
could not be written)
.TP
.B 2
wrong usage: no such word, or a number outside its range; the agent was not asked
.TP
.B 69
no agent answers at the socket, or this account may not ask
.TP
.B 78
the settings file cannot be used
.TP
.B 130
interrupted
.SH ENVIRONMENT
.TP
.B %s
The settings file when none is named.
.TP
.BR LANGUAGE ", " LC_ALL ", " LC_MESSAGES ", " LANG
Chinese when the first that is set begins with zh, otherwise English.
.TP
.B NO_COLOR
No colours; there are none either when the output is piped.
.SH FILES
.I %s
.SH EXAMPLES
.nf
aislectl doctor
aislectl visit start --name Lin && aislectl load A1 8 && aislectl visit end
aislectl --json sweep --yes | jq '.[] | select(.outcome != "delivered")'
.fi
"""


def page() -> str:
    """The whole page as roff source."""
    body = "".join(_entries(WORDS, ()))
    return _HEAD % SETTINGS_FILE + body + _TAIL % (SETTINGS_VARIABLE, SETTINGS_FILE)


def _entries(words: Sequence[Word], before: tuple[str, ...]) -> Iterator[str]:
    for word in words:
        path = (*before, word.name)
        if word.words:
            yield from _entries(word.words, path)
            continue
        synopsis = " ".join(_synopsis(one) for one in word.arguments)
        yield f".TP\n\\fB{_roff(' '.join(path))}\\fR {synopsis}".rstrip() + f"\n{_roff(word.about)}\n"
        for one in word.arguments:
            yield f".RS\n\\fI{_roff(one.names[0])}\\fR: {_roff(one.about)}\n.RE\n"


def _synopsis(argument: Argument) -> str:
    options = dict(argument.options)
    name = argument.names[0]
    choices = options.get("choices")
    if not name.startswith("--"):
        shown = "|".join(choices) if choices else name.upper()
        return _roff(f"[{shown}]" if "nargs" in options else shown)
    if options.get("action") == "store_true":
        return _roff(f"[{name}]")
    value = "|".join(choices) if choices else options.get("metavar") or name.removeprefix("--").upper()
    return _roff(f"{name} {value}" if options.get("required") else f"[{name} {value}]")


def _roff(text: str) -> str:
    return text.replace("\\", "\\e").replace("-", "\\-")


if __name__ == "__main__":
    sys.stdout.write(page())
