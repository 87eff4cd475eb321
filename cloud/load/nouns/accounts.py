"""Accounts: the people who work for a brand, and how they sign in.

A password is compared with what is stored, so that loading it again changes nothing. It is never dumped; its hash is,
when it is asked for, and then loads unchanged. The other hash is that of the password as older clients send it, by
phone number; it is worth something only under the same server secret.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Annotated, Any

from msgspec import Meta

from cloud.accounts.model import Role, check_password, mint_password
from cloud.accounts.passwords import Passwords
from cloud.accounts.store import find_brand, holders_of_phones, logins_of_users, phones, sign_out, units, users
from cloud.errors import FleetError
from cloud.load.columns import Dated, Id, Name, Phone, Text
from cloud.load.noun import Draft, Run, TableNoun, remove_rows, values_of
from cloud.load.secrets import SECRET, Hash, Md5
from shared.ids import mint_user_id


class AccountRow(Dated, frozen=True, kw_only=True):
    """One person of the staff."""

    login: Annotated[Name, Meta(title="登录名", description="What the person signs in with; unique in the brand.")]
    user: Annotated[
        Id | None, Meta(title="账号编号", description="The account's id, kept as it is; without one it gets one.")
    ] = None
    name: Annotated[Text, Meta(title="姓名", description="What the person is called.")] = ""
    role: Annotated[Role, Meta(title="角色", description="What the person may do.")] = "viewer"
    unit: Annotated[Id | None, Meta(title="所属机构", description="The unit; empty: the whole brand.")] = None
    phone: Annotated[Phone, Meta(title="手机号", description="By which older clients sign in; unique over all.")] = ""
    area: Annotated[Text, Meta(title="服务地区", description="Where the person works: 省市区.")] = ""
    coordinates: Annotated[
        Text, Meta(title="坐标", description="Where the person works from: longitude, latitude.")
    ] = ""
    disabled: Annotated[bool, Meta(title="停用", description="Whether signing in is refused.")] = False
    password: Annotated[
        Name | None,
        Meta(title="密码", description="A first password, to be changed at once.", extra_json_schema=SECRET),
    ] = None
    password_md5: Annotated[
        Md5 | None,
        Meta(title="密码MD5", description="MD5 of the password that older clients send.", extra_json_schema=SECRET),
    ] = None
    password_hash: Annotated[
        Hash | None,
        Meta(title="密码哈希", description="The stored hash, as `dump --hashes` tells it.", extra_json_schema=SECRET),
    ] = None
    md5_hash: Annotated[
        Hash | None,
        Meta(title="MD5密码哈希", description="The stored hash of `password_md5`.", extra_json_schema=SECRET),
    ] = None
    password_is_temporary: Annotated[
        bool | None,
        Meta(title="须改密码", description="Whether it must be changed first; empty: after a new `password`."),
    ] = None


class _Accounts(TableNoun[AccountRow]):
    async def settle(self, run: Run, brand: str, drafts: Sequence[Draft[AccountRow]]) -> None:
        await _settle_ids(run, brand, drafts)
        await _check_phones(run, brand, drafts)
        sound = [draft for draft in drafts if not draft.objections]
        await asyncio.gather(*(_settle_password(run.passwords, draft) for draft in sound))
        await asyncio.gather(*(settle_md5(run.passwords, draft) for draft in sound))
        for draft in drafts:
            if draft.after.password_is_temporary is None:
                draft.becomes(password_is_temporary=bool(draft.before and draft.before.password_is_temporary))
        unknown = [draft for draft in drafts if draft.after.password_hash is None]
        if unknown:
            # Nobody knows the password behind it; so the answer to a guess takes as long as for anybody else.
            nobodys = await run.passwords.hash(mint_password())
            for draft in unknown:
                draft.becomes(password_hash=nobodys)
        if lost := sum(draft.after.md5_hash is None for draft in unknown):
            run.notes.append(
                f"{lost} accounts of {brand} have no password yet: give them one in the book, or with "
                f"`python -m cloud admin-reset --tenant {brand} --login LOGIN`"
            )

    async def write(self, run: Run, brand: str, drafts: Sequence[Draft[AccountRow]]) -> None:
        await super().write(run, brand, drafts)
        doors = await _doors(run, brand, drafts)
        moved = [draft.after.user for draft in drafts if draft.before is not None and draft.after.user]
        await remove_rows(run.work, phones, brand, "user", moved)
        rows = [
            {"phone": door, "tenant": brand, "user": draft.after.user}
            for draft in drafts
            for door in doors(draft.after)
        ]
        await run.work.insert(phones, rows)
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


async def _check_phones(run: Run, brand: str, drafts: Sequence[Draft[AccountRow]]) -> None:
    """A number finds one person, over all brands; so does the name of a brand's owner."""
    doors = await _doors(run, brand, drafts)
    taken = await holders_of_phones(run.work, {door for draft in drafts for door in doors(draft.after)})
    for draft in drafts:
        me = (brand, str(draft.after.user))
        for door in doors(draft.after):
            if taken.setdefault(door, me) != me:
                column = "phone" if door == draft.after.phone else "login"
                draft.object(column, "is what another account signs in by")


async def _doors(run: Run, brand: str, drafts: Sequence[Draft[AccountRow]]) -> Callable[[AccountRow], list[str]]:
    """By what an account signs in where no brand is named: its phone; the brand's owner also by its login.

    Nobody of a brand or a unit that has ended.
    """
    known = await find_brand(run.work, brand)
    wanted = {draft.after.unit for draft in drafts if draft.after.unit}
    closed = await values_of(run.work, units, brand, "unit", wanted, "closed_ms")

    def doors(row: AccountRow) -> list[str]:
        if known.closed_ms is not None or closed.get(row.unit or "") is not None:
            return []
        return [door for door in (row.phone, row.login if row.user == known.owner else "") if door]

    return doors


async def _settle_password(passwords: Passwords, draft: Draft[AccountRow]) -> None:
    """Turn a password into its hashes, unless it is the one that is stored."""
    password = draft.after.password
    if password is None:
        return
    draft.becomes(password=None)
    if draft.given.get("password_hash") or draft.given.get("password_md5"):
        draft.object("password", "is given beside another form of itself")
        return
    try:
        check_password(password, draft.after.login)
    except FleetError as error:
        draft.object("password", error.detail)
        return
    stored = draft.before.password_hash if draft.before else None
    if stored is None or not await passwords.matches(stored, password):
        draft.becomes(password_hash=await passwords.hash(password))
        if draft.after.password_is_temporary is None or "password_is_temporary" not in draft.given:
            draft.becomes(password_is_temporary=True)
    if draft.after.phone and not await passwords.matches_sent(draft.after.md5_hash, password):
        draft.becomes(md5_hash=await passwords.hash_sent(password))


async def settle_md5(passwords: Passwords, draft: Draft[Any]) -> None:
    """Turn the MD5 of a password into what is stored of it, unless it is there."""
    sent = draft.after.password_md5
    if sent is None:
        return
    draft.becomes(password_md5=None)
    if not await passwords.matches_sent(draft.after.md5_hash, sent):
        draft.becomes(md5_hash=await passwords.hash_sent(sent))


def _signs_out(before: AccountRow, after: AccountRow) -> bool:
    doors = ("role", "unit", "disabled", "password_hash", "md5_hash")
    return any(getattr(before, name) != getattr(after, name) for name in doors)


ACCOUNTS = _Accounts(
    "accounts",
    "账号",
    AccountRow,
    users,
    ("login",),
    references={"unit": "units"},
    since="created_ms",
    beside={"password", "password_md5"},
)
