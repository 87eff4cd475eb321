"""Members and what they may spend."""

from __future__ import annotations

from cloud.database import Work
from cloud.errors import FleetError
from cloud.members import store
from cloud.members.ledger import Ledger
from cloud.members.model import FUNDING, Member, MemberState, Posting, wallet
from shared.ids import MalformedId, check_id

# One top-up: what local rules allow on a named card (5,000 yuan).
TOP_UP_MAX_FEN = 500_000


async def join(
    work: Work, tenant: str, member: str, name: str, phone: str = "", *, state: MemberState = "active"
) -> Member:
    """Take in a new member with an empty wallet; FleetError: invalid id, or conflict when the id is taken, for ever."""
    try:
        check_id("member", member)
    except MalformedId as error:
        raise FleetError("invalid", str(error), field="member") from error
    if await store.find_member(work, tenant, member):
        raise FleetError("conflict", f"member {member!r} exists already", field="member")
    joined = Member(tenant, member, name, phone, work.now_ms, state)
    await store.add_member(work, joined)
    await store.open_accounts(work, [(tenant, wallet(member))])
    return joined


async def member_of(work: Work, tenant: str, member: str, *, lock: bool = False) -> Member:
    """The member, or FleetError: not_found, gone once he has left. Locked, his other spending waits for this work."""
    found = await store.find_member(work, tenant, member, lock=lock)
    if found is None:
        raise FleetError("not_found", f"no member {member!r}", field="member")
    if found.left_ms is not None:
        raise FleetError("gone", f"the member {member!r} has left", field="member")
    return found


async def wallet_balance(work: Work, tenant: str, member: str) -> int:
    """What the member can spend, in fen."""
    return await store.balance_of(work, tenant, wallet(member))


async def top_up(work: Work, tenant: str, member: str, amount_fen: int, reference: str, *, note: str = "") -> int:
    """Add money that the member brought; answers the new balance. The same reference is booked once, for ever.

    FleetError: invalid amount, not_found, or conflict when the reference was used for another amount.
    """
    if not 0 < amount_fen <= TOP_UP_MAX_FEN:
        raise FleetError("invalid", f"{amount_fen} is not between 1 and {TOP_UP_MAX_FEN} fen", field="amount_fen")
    await member_of(work, tenant, member, lock=True)
    subject = f"{member}/{reference}"
    if before := await store.find_postings(work, tenant, f"top_up/{subject}"):
        if before[0].amount_fen != amount_fen:
            raise FleetError("conflict", f"{reference!r} was used for {before[0].amount_fen} fen", field="reference")
        return await wallet_balance(work, tenant, member)
    ledger = Ledger(work)
    ledger.book(tenant, "top_up", subject, [Posting(FUNDING, wallet(member), amount_fen)], note=note)
    await ledger.write()
    return await wallet_balance(work, tenant, member)
