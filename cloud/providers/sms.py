"""What an SMS provider is, and the one of those who have none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

# What a message is for; each has a template that the provider has approved.
Template = Literal["register", "change_phone", "recover", "sign_in"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sms:
    """One message: a template's name, and the code that is filled in. Its `repr` shows neither number nor code."""

    phone: str
    template: Template
    code: str
    # Our number of this message, by which a provider tells a repetition.
    reference: str

    def __repr__(self) -> str:
        return f"Sms({self.template}, {self.reference}, hidden)"


class SmsProvider(Protocol):
    """Sends short messages with one tenant's credentials."""

    @property
    def name(self) -> str:
        """The name under which it is configured."""

    async def send(self, sms: Sms) -> None:
        """Send one message. FleetError: unavailable (later it may work), or conflict (this one never will)."""


class RecordingSms:
    """Sends nothing. In a demo the operator reads the codes in the API, where they are computed and not stored."""

    name = "recording"

    async def send(self, sms: Sms) -> None:
        """Nothing goes out."""
