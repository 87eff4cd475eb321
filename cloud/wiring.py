"""Where the parts that reach outside are put together: who moves money, what it is for, how calls out are made.

A noun that wants payments adds its purpose to `PURPOSES`; one that calls out adds its handler.
"""

from __future__ import annotations

from cloud.accounts.codes import SMS, Codes, sms_handler
from cloud.outcalls import Handlers
from cloud.payments.follow import follow_handler
from cloud.payments.payout import PAYOUT, payout_handler
from cloud.payments.refund import REFUND, refund_handler
from cloud.payments.request import FOLLOW
from cloud.payments.till import TOP_UP, Purpose, Till
from cloud.providers.directory import Providers
from cloud.settings import Settings
from shared.clock import Clock

# What payments are for.
PURPOSES: tuple[Purpose, ...] = (TOP_UP,)


def open_till(settings: Settings, clock: Clock) -> Till:
    """The providers of all tenants and the purposes of payments; whoever opens it closes its providers."""
    purposes = {purpose.name: purpose for purpose in PURPOSES}
    return Till(Providers(settings.data / "providers", clock), purposes, settings.public_url)


def handlers(till: Till, codes: Codes) -> Handlers:
    """How every kind of call out is made."""
    return {
        FOLLOW: follow_handler(till),
        REFUND: refund_handler(till),
        PAYOUT: payout_handler(till),
        SMS: sms_handler(codes, till.providers),
    }
