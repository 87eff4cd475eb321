"""What the cloud refuses, by kind. A dialect translates the kind into its own codes; nobody else has to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

Kind = Literal[
    "not_found",  # no such thing, or not yours: the two are told apart nowhere
    "conflict",  # the thing is not in a state that allows this
    "invalid",  # the request names a value that cannot be
    "forbidden",  # known, but not allowed to
    "unauthenticated",  # nobody we know
    "too_many",  # a limit is reached; later it will work
    "gone",  # it was here and will not come back
    "unavailable",  # something we depend on does not answer
]


class FleetError(Exception):
    """A refusal the caller can act on: its kind, the field at fault, a sentence for people, and the data behind it."""

    def __init__(
        self, kind: Kind, detail: str, *, field: str | None = None, data: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(f"{field}: {detail}" if field else detail)
        self.kind: Kind = kind
        self.detail = detail
        self.field = field
        self.data = dict(data or {})


class IllegalEvent(FleetError):
    """A state machine was told something that its state does not allow. Nothing has changed."""

    def __init__(self, thing: str, state: str, event: str) -> None:
        super().__init__(
            "conflict", f"{thing} is {state}: {event!r} is not possible", data={"state": state, "event": event}
        )
