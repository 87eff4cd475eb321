"""Withdrawing commission: all that is available goes out through the tenant's payment provider."""

from __future__ import annotations

from cloud.commission import store
from cloud.commission.model import WITHDRAW_EVERY_MS, Withdrawal
from cloud.database import Work
from cloud.errors import FleetError
from cloud.members.browse import account_balance
from cloud.members.model import commission
from cloud.members.wallet import member_of
from cloud.members.wechat import openid_of
from cloud.payments.payout import NewPayout, pay_out
from cloud.payments.till import Till
from cloud.providers.payment import PayoutWay
from cloud.providers.recording import RECORDING


async def withdraw(
    work: Work,
    till: Till,
    tenant: str,
    member: str,
    *,
    amount_fen: int | None = None,
    way: PayoutWay = "weixin",
    payee: str = "",
    payee_name: str = "",
) -> Withdrawal:
    """Pay a member's commission out, all of it or `amount_fen`; done after the commit, and repeated until it is.

    `payee` is the member's account at the provider of `way`. FleetError: too_many within half a minute of the last one,
    conflict when nothing, or less, is available, invalid when nobody is named to pay to.
    """
    await member_of(work, tenant, member, lock=True)  # one withdrawal at a time
    last_ms = await store.last_withdrawal_ms(work, tenant, member)
    if last_ms is not None and work.now_ms - last_ms < WITHDRAW_EVERY_MS:
        wait_s = -(-(WITHDRAW_EVERY_MS - (work.now_ms - last_ms)) // 1000)
        sentence = f"withdrawals are {WITHDRAW_EVERY_MS // 1000} s apart: wait {wait_s} s"
        raise FleetError("too_many", sentence, data={"retry_after_s": wait_s})
    available_fen = await account_balance(work, tenant, commission(member))
    wanted_fen = available_fen if amount_fen is None else amount_fen
    if wanted_fen <= 0 or wanted_fen > available_fen:
        raise FleetError("conflict", f"{available_fen} fen are available", field="amount")
    if not payee and way == "weixin":
        payee = await openid_of(work, tenant, member)
    if not payee:
        if till.providers.for_payout(tenant, way).name != RECORDING:
            raise FleetError("invalid", "bind WeChat, or name an account to pay to", field="payee")
        payee = member
    wanted = NewPayout(
        tenant=tenant,
        reference=f"commission/{member}/{work.now_ms}",
        account=commission(member),
        way=way,
        payee=payee,
        payee_name=payee_name,
        amount_fen=wanted_fen,
        note="佣金提现",
        decided_by=member,
    )
    payout = await pay_out(work, till, wanted)
    withdrawal = Withdrawal(tenant, payout.payout, member, wanted_fen, work.now_ms)
    await store.add_withdrawal(work, withdrawal)
    return withdrawal
