"""What is known of a member beside his wallet."""

from __future__ import annotations

from dataclasses import dataclass, replace

from cloud.accounts.sign_in import end_sessions
from cloud.accounts.units import find_unit
from cloud.database import Work
from cloud.errors import FleetError
from cloud.members import store
from cloud.members.model import Member, MemberState
from cloud.members.wallet import member_of


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileChange:
    """What is to be changed; None keeps what is there. `referrer` and `unit` "" take them away."""

    name: str | None = None
    avatar: str | None = None
    email: str | None = None
    area: str | None = None
    address: str | None = None
    remark: str | None = None
    vip: bool | None = None
    bonus: int | None = None
    kind: int | None = None
    state: MemberState | None = None
    referrer: str | None = None
    unit: str | None = None


async def change_profile(work: Work, tenant: str, member: str, change: ProfileChange) -> Member:
    """Change what is given. Whoever is no longer active is signed out everywhere.

    FleetError: not_found, gone, invalid referrer, not_found unit.
    """
    found = await member_of(work, tenant, member, lock=True)
    given = {name: getattr(change, name) for name in ProfileChange.__dataclass_fields__}
    wanted = {name: value for name, value in given.items() if value is not None}
    if change.referrer:
        await _check_referrer(work, found, change.referrer)
    if change.unit:
        await find_unit(work, tenant, change.unit)
    for name in ("referrer", "unit"):
        if wanted.get(name) == "":
            wanted[name] = None
    changed = replace(found, **wanted)
    if changed != found:
        await store.put_member(work, changed)
    if changed.state != "active":
        await end_sessions(work, tenant, member, holder="member")
    return changed


async def _check_referrer(work: Work, member: Member, referrer: str) -> None:
    """He exists, and does not owe his being here to this member in turn: commissions go up a tree, not round in it."""
    above: str | None = referrer
    for _ in range(REFERRERS_MAX):
        if above is None:
            return
        if above == member.member:
            raise FleetError("invalid", "nobody recommends himself, also by way of others", field="rid")
        found = await store.find_member(work, member.tenant, above)
        if found is None or (above == referrer and found.left_ms is not None):
            raise FleetError("invalid", f"no member {referrer[:48]!r} can have recommended anybody", field="rid")
        above = found.referrer
    raise FleetError("invalid", f"more than {REFERRERS_MAX} people recommended each other", field="rid")


# Three of them earn; a chain a hundred long is a mistake in the data.
REFERRERS_MAX = 100
