"""Accounts: the people who work for a brand, and how they sign in.

A password is compared with what is stored, so that loading it again changes nothing. It is never dumped; its hash is,
when it is asked for, and then loads unchanged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta

from cloud.accounts.model import Role, check_password, mint_password
from cloud.accounts.store import logins_of_users, sign_out, users
from cloud.errors import FleetError
from cloud.load.columns import Id, Name, Row, Text
from cloud.load.noun import Draft, Run, TableNoun
from shared.ids import mint_user_id

_SECRET = {"writeOnly": True}
# How every hash begins that `Passwords` makes.
HASHED = "$argon2id$"


class AccountRow(Row, frozen=True, kw_only=True):
    """One person of the staff."""

    login: Annotated[Name, Meta(title="登录名", description="What the person signs in with; unique in the brand.")]
    user: Annotated[
        Id | None, Meta(title="账号编号", description="The account's id, kept as it is; without one it gets one.")
    ] = None
    name: Annotated[Text, Meta(title="姓名", description="What the person is called.")] = ""
    role: Annotated[
        Role,
        Meta(
            title="角色", description="What the person may do: owner, operator, technician, finance, viewer, platform."
        ),
    ] = "viewer"
    disabled: Annotated[bool, Meta(title="停用", description="Whether signing in is refused.")] = False
    password: Annotated[
        str | None,
        Meta(
            title="密码", description="A first password, to be changed at the first sign-in.", extra_json_schema=_SECRET
        ),
    ] = None
    password_hash: Annotated[
        Text | None,
        Meta(title="密码哈希", description="The stored hash, as `dump --hashes` tells it.", extra_json_schema=_SECRET),
    ] = None
    password_is_temporary: Annotated[
        bool, Meta(title="须改密码", description="Whether it must be changed first; so it is after a new `password`.")
    ] = False


class _Accounts(TableNoun[AccountRow]):
    async def settle(self, run: Run, brand: str, drafts: Sequence[Draft[AccountRow]]) -> None:
        await _settle_ids(run, brand, drafts)
        await asyncio.gather(*(_settle_password(run, draft) for draft in drafts if not draft.objections))
        unknown = [draft for draft in drafts if draft.after.password_hash is None]
        if unknown:
            # Nobody knows the password behind it; so the answer to a guess takes as long as for anybody else.
            nobodys = await run.passwords.hash(mint_password())
            for draft in unknown:
                draft.becomes(password_hash=nobodys, password_is_temporary=True)
            run.notes.append(
                f"{len(unknown)} accounts of {brand} have no password yet: give them one in the book, or with "
                f"`python -m cloud admin-reset --tenant {brand} --login LOGIN`"
            )

    async def write(self, run: Run, brand: str, drafts: Sequence[Draft[AccountRow]]) -> None:
        await super().write(run, brand, drafts)
        # Whoever may do something else now, or has another password, signs in again.
        changed = [str(draft.before.user) for draft in drafts if draft.before and _signs_out(draft.before, draft.after)]
        await sign_out(run.work, brand, changed)


async def _settle_ids(run: Run, brand: str, drafts: Sequence[Draft[AccountRow]]) -> None:
    """An account keeps its id, and gets one where there is none."""
    wanted = {draft.after.user for draft in drafts if draft.after.user}
    taken = await logins_of_users(run.work, brand, wanted)
    for draft in drafts:
        before, user = draft.before, draft.after.user
        if user is None:
            draft.becomes(user=mint_user_id() if before is None else before.user)
        elif before is not None and user != before.user:
            draft.object("user", f"the account's id is {before.user!r} and stays so")
        elif taken.setdefault(user, draft.after.login) != draft.after.login:
            draft.object("user", f"is the id of {taken[user]!r}")


async def _settle_password(run: Run, draft: Draft[AccountRow]) -> None:
    """Turn a password into its hash, unless it is the one that is stored."""
    password = draft.after.password
    if not (draft.after.password_hash or HASHED).startswith(HASHED):
        draft.object("password_hash", f"is no hash that we made: it begins with {HASHED}")
    if password is None:
        return
    if draft.given.get("password_hash"):
        draft.object("password", "and password_hash cannot both be given")
        return
    try:
        check_password(password, draft.after.login)
    except FleetError as error:
        draft.object("password", error.detail)
        return
    draft.becomes(password=None)
    stored = draft.before.password_hash if draft.before else None
    if stored is None or not await run.passwords.matches(stored, password):
        temporary = draft.given.get("password_is_temporary", True)
        draft.becomes(password_hash=await run.passwords.hash(password), password_is_temporary=temporary)


def _signs_out(before: AccountRow, after: AccountRow) -> bool:
    return (before.role, before.disabled, before.password_hash) != (after.role, after.disabled, after.password_hash)


ACCOUNTS = _Accounts(
    "accounts",
    "账号",
    AccountRow,
    users,
    ("login",),
    beside={"password"},
    born={"created_ms": lambda work: work.now_ms},
)
