"""The provider of those who have none: it takes every payment on and moves no money.

It says what it is wherever it answers: its name is in the account, in the parameters and in every transaction number.
Nobody can pay through it. For a demo or a test somebody who may do so says that a payment was made (`settle`); refunds
and payouts are done as soon as they are asked. What it was asked stands in the story of each payment, in the database.
"""

from __future__ import annotations

from collections.abc import Mapping

from cloud.providers.payment import (
    BadCallback,
    CallbackAnswer,
    Notice,
    OutgoingReport,
    PaymentReport,
    PayoutAsk,
    PrepayAsk,
    RefundAsk,
)

RECORDING = "recording"
_NOTE = "recorded only: no money moves"


class RecordingPayments:
    """Moves no money. Every question is answered from itself, so several processes need to share nothing."""

    name = RECORDING
    merchant = RECORDING

    async def begin(self, ask: PrepayAsk) -> dict[str, str]:
        """Parameters that no client library takes for real ones."""
        return {"provider": RECORDING, "payment": ask.payment, "note": _NOTE}

    async def query(self, payment: str) -> PaymentReport:
        """Nobody pays here."""
        return PaymentReport(payment=payment, state="unpaid", merchant=RECORDING)

    async def close(self, payment: str) -> None:
        """Nothing to close."""

    async def refund(self, ask: RefundAsk) -> OutgoingReport:
        """Done at once."""
        return OutgoingReport(state="done", transaction=f"{RECORDING}-{ask.refund}", detail=_NOTE)

    async def pay_out(self, ask: PayoutAsk) -> OutgoingReport:
        """Done at once."""
        return OutgoingReport(state="done", transaction=f"{RECORDING}-{ask.payout}", detail=_NOTE)

    def read_callback(self, headers: Mapping[str, str], body: bytes, now_ms: int) -> Notice:
        """Whoever calls in its name is somebody else."""
        raise BadCallback("forged", "the recording provider calls nobody")

    def answer(self, trouble: str | None) -> CallbackAnswer:
        """Plain words."""
        return CallbackAnswer(400 if trouble else 200, "text/plain", trouble or "kept")


def settled(payment: str, amount_fen: int) -> PaymentReport:
    """What a real provider would report once somebody has paid."""
    transaction = f"{RECORDING}-{payment}"
    return PaymentReport(
        payment=payment, state="captured", amount_fen=amount_fen, merchant=RECORDING, transaction=transaction
    )
