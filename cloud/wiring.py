"""Where the parts that reach outside are put together: who moves money, what it is for, how calls out are made.

A noun that wants payments adds its purpose to `purposes`; one that calls out adds its handler.
"""

from __future__ import annotations

from cloud.accounts.codes import SMS, Codes, sms_handler
from cloud.machines.credentials import Credentials
from cloud.outcalls import Handlers
from cloud.payments.follow import follow_handler
from cloud.payments.payout import PAYOUT, payout_handler
from cloud.payments.refund import REFUND, refund_handler
from cloud.payments.request import FOLLOW
from cloud.payments.till import TOP_UP, Purpose, Till
from cloud.products.shelf import REFIT
from cloud.promotions.gather import purchase_purpose
from cloud.providers.directory import Providers
from cloud.purchases.model import Deadlines
from cloud.rentals.plan import PLAN, plan_handler
from cloud.settings import Settings
from cloud.water.refit import refit_handler
from shared.clock import Clock


def deadlines_of(settings: Settings) -> Deadlines:
    """How long purchases may wait in each state."""
    return Deadlines(
        pay_ms=settings.purchase_pay_ms,
        confirm_ms=settings.purchase_confirm_ms,
        finish_ms=settings.purchase_finish_ms,
    )


def purposes(settings: Settings) -> tuple[Purpose, ...]:
    """What payments are for."""
    return (TOP_UP, purchase_purpose(deadlines_of(settings)))


def open_till(settings: Settings, clock: Clock) -> Till:
    """The providers of all tenants and the purposes of payments; whoever opens it closes its providers."""
    by_name = {purpose.name: purpose for purpose in purposes(settings)}
    return Till(Providers(settings.data / "providers", clock), by_name, settings.public_url)


def handlers(till: Till, codes: Codes, credentials: Credentials) -> Handlers:
    """How every kind of call out is made."""
    return {
        FOLLOW: follow_handler(till),
        REFUND: refund_handler(till),
        PAYOUT: payout_handler(till),
        PLAN: plan_handler(credentials),
        REFIT: refit_handler(credentials),
        SMS: sms_handler(codes, till.providers),
    }
