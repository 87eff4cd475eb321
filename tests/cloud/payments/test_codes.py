"""Codes sent to phones: right once, for five minutes, five tries, and not too many of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.parse import parse_qsl

import pytest
from sqlalchemy import text

from cloud import outcalls
from cloud.accounts.codes import (
    CODE_GAP_MS,
    CODE_TTL_MS,
    CODES_PER_ADDRESS_HOUR,
    CODES_PER_PHONE_HOUR,
    CODES_PER_TENANT_DAY,
    SMS,
    codes_to_read,
    send_code,
    sms_handler,
    use_code,
)
from cloud.database import Database, Work
from cloud.errors import FleetError
from cloud.providers.aliyun_sms import authorization
from cloud.providers.directory import Providers
from shared.clock import ManualClock
from tests.cloud.payments.counter import CODES, TENANT
from tests.cloud.payments.house import Asked, Said, serving, write_providers

PHONE = "13900001234"
OK = Said(200, b'{"Code": "OK", "Message": "OK", "BizId": "1"}', {"Content-Type": "application/json"})


async def send(database: Database, phone: str = PHONE, address: str = "10.0.0.1", *, deliver: bool = True) -> int:
    use = partial(send_code, tenant=TENANT, purpose="register", phone=phone, address=address, deliver=deliver)
    return await database.transact(use, tenant=TENANT)


async def read(database: Database, phone: str = PHONE) -> str:
    async with database.look(tenant=TENANT) as work:
        found = await codes_to_read(work, CODES, TENANT)
    return next(one.code for one in found if one.phone == phone)


async def use(database: Database, code: str, phone: str = PHONE, purpose: str = "register") -> str:
    async def then(work: Work) -> str:
        return "done"

    return await use_code(database, CODES, TENANT, purpose, phone, code, then)  # type: ignore[arg-type]


def wrong(code: str) -> str:
    return f"{(int(code) + 1) % 1_000_000:06d}"


async def test_a_code_is_right_once(database: Database) -> None:
    await send(database)
    code = await read(database)
    assert len(code) == 6
    assert code.isdecimal()
    assert await use(database, code) == "done"
    with pytest.raises(FleetError, match="wrong, was used, or is too old"):
        await use(database, code)


async def test_used_twice_at_the_same_time_it_is_right_once(database: Database) -> None:
    await send(database)
    code = await read(database)
    ended = await asyncio.gather(*(use(database, code) for _ in range(4)), return_exceptions=True)
    assert sorted(str(one)[:4] for one in ended) == ["code", "code", "code", "done"]


async def test_it_proves_one_phone_for_one_purpose(database: Database) -> None:
    await send(database)
    code = await read(database)
    for phone, purpose in (("13900001235", "register"), (PHONE, "recover")):
        with pytest.raises(FleetError, match="wrong, was used"):
            await use(database, code, phone, purpose)
    assert await use(database, code) == "done"


async def test_five_tries_and_no_more(database: Database) -> None:
    await send(database)
    code = await read(database)
    for _ in range(5):
        with pytest.raises(FleetError, match="wrong, was used"):
            await use(database, wrong(code))
    with pytest.raises(FleetError, match="wrong, was used"):
        await use(database, code)


async def test_it_ends_on_time(database: Database, clock: ManualClock) -> None:
    await send(database)
    code = await read(database)
    clock.advance(CODE_TTL_MS)
    with pytest.raises(FleetError, match="wrong, was used"):
        await use(database, code)


async def test_the_next_code_voids_the_one_before(database: Database, clock: ManualClock) -> None:
    await send(database)
    first = await read(database)
    with pytest.raises(FleetError, match="just now") as refused:
        await send(database)
    assert refused.value.data["retry_after_s"] == 60
    clock.advance(CODE_GAP_MS)
    await send(database)
    second = await read(database)
    with pytest.raises(FleetError, match="wrong, was used"):
        await use(database, first if first != second else wrong(second))
    assert await use(database, second) == "done"


async def test_what_fails_afterwards_leaves_the_code(database: Database) -> None:
    await send(database)
    code = await read(database)

    async def then(work: Work) -> None:
        raise FleetError("conflict", "the phone is registered already")

    with pytest.raises(FleetError, match="registered already"):
        await use_code(database, CODES, TENANT, "register", PHONE, code, then)
    assert await use(database, code) == "done"


async def test_nothing_at_rest_opens_anything(database: Database) -> None:
    await send(database)
    code = await read(database)
    async with database.look(tenant=TENANT) as work:
        rows = [*await work.rows(text("SELECT * FROM phone_codes")), *await work.rows(text("SELECT * FROM outcalls"))]
        assert code not in repr(await codes_to_read(work, CODES, TENANT))
    assert len(rows) == 2
    assert all(code not in str(row) for row in rows)


async def test_a_phone_an_address_and_a_tenant_have_budgets(database: Database, clock: ManualClock) -> None:
    for number in range(CODES_PER_PHONE_HOUR):
        await send(database, address=f"10.0.1.{number}")
        clock.advance(CODE_GAP_MS)
    with pytest.raises(FleetError, match=f"{CODES_PER_PHONE_HOUR} codes were sent already") as refused:
        await send(database, address="10.0.1.99")
    assert 0 < refused.value.data["retry_after_s"] <= 3_600
    for number in range(CODES_PER_ADDRESS_HOUR):
        await send(database, phone=f"1390001{number:04d}")
    with pytest.raises(FleetError, match=f"{CODES_PER_ADDRESS_HOUR} codes were sent already"):
        await send(database, phone="13900019999")
    async with database.work(tenant=TENANT) as work:
        await work.execute(
            text("UPDATE code_budgets SET sent = :most WHERE bucket = 'tenant-day'"), {"most": CODES_PER_TENANT_DAY}
        )
    with pytest.raises(FleetError, match=f"{CODES_PER_TENANT_DAY} codes were sent already"):
        await send(database, phone="13900018888", address="10.0.2.1")
    clock.advance(24 * 3_600_000)
    await send(database, phone="13900018888", address="10.0.2.1")


async def test_numbers_are_forgotten(database: Database, clock: ManualClock) -> None:
    await send(database)
    clock.advance(3 * 24 * 3_600_000)
    await send(database, phone="13900001235")
    async with database.look(tenant=TENANT) as work:
        phones = await work.rows(text("SELECT phone FROM phone_codes"))
        buckets = await work.rows(text("SELECT bucket FROM code_budgets"))
    assert [row.phone for row in phones] == ["13900001235"]
    assert not any(PHONE in row.bucket for row in buckets)


@pytest.mark.parametrize("phone", ["", "12345", "1390000123a", "1" * 21, "139 0000 1234", "１３９００００１２３４"])
async def test_a_number_is_a_number(phone: str, database: Database) -> None:
    with pytest.raises(FleetError, match="6 to 20 digits"):
        await send(database, phone=phone)


# --- sending ---


@dataclass
class SmsHouse:
    """Aliyun's side: checks the signature like the real one, and remembers the messages."""

    moods: list[Said | None] = field(default_factory=list)
    sent: list[dict[str, str]] = field(default_factory=list)

    def handle(self, asked: Asked) -> Said | None:
        if self.moods:
            return self.moods.pop(0)
        said = asked.headers["authorization"]
        names = said.partition("SignedHeaders=")[2].partition(",")[0].split(";")
        query = dict(parse_qsl(asked.path.partition("?")[2], strict_parsing=True))
        headers = {name: asked.headers[name] for name in names}
        if said != authorization("an-invented-key", "an-invented-secret", query, headers):
            return Said(400, b'{"Code": "SignatureDoesNotMatch"}')
        self.sent.append(query)
        return OK


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[tuple[SmsHouse, str]]:
    """Aliyun on this computer, and its address."""
    opened = SmsHouse()
    async with serving(opened.handle) as address:
        yield opened, address


async def test_a_message_is_signed_sent_and_sent_again(
    database: Database,
    clock: ManualClock,
    tmp_path: Path,
    house: tuple[SmsHouse, str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    aliyun, address = house
    write_providers(tmp_path, TENANT, sms=address)
    providers = Providers(tmp_path, clock)
    handlers = {SMS: sms_handler(CODES, providers)}
    await send(database)
    code = await read(database)
    aliyun.moods = [None, Said(500, b"<html>"), Said(400, b'{"Code": "isp.SYSTEM_ERROR"}')]
    with caplog.at_level(logging.DEBUG):
        for _ in range(5):
            await outcalls.make_due(database, handlers)
            clock.advance(10_000)
    (sent,) = aliyun.sent
    assert (sent["PhoneNumbers"], sent["TemplateCode"], sent["SignName"]) == (PHONE, "SMS_100000001", "示例水业")
    assert sent["TemplateParam"] == f'{{"code": "{code}"}}'
    assert code not in caplog.text
    assert PHONE not in caplog.text
    assert await outcalls.make_due(database, handlers) == 0
    await providers.close()


async def test_a_message_that_never_goes_is_given_up(
    database: Database, clock: ManualClock, tmp_path: Path, house: tuple[SmsHouse, str]
) -> None:
    aliyun, address = house
    write_providers(tmp_path, TENANT, sms=address)
    providers = Providers(tmp_path, clock)
    handlers = {SMS: sms_handler(CODES, providers)}
    await send(database)
    aliyun.moods = [Said(200, b'{"Code": "isv.MOBILE_NUMBER_ILLEGAL"}')]
    assert await outcalls.make_due(database, handlers) == 1
    clock.advance(CODE_GAP_MS)
    await send(database)
    aliyun.moods = [None] * 20
    for _ in range(60):
        await outcalls.make_due(database, handlers)
        clock.advance(10_000)
    assert aliyun.sent == []
    assert await outcalls.make_due(database, handlers) == 0
    await send(database, deliver=False)
    assert await outcalls.make_due(database, handlers) == 0
    await providers.close()


def test_the_signature_is_the_published_one() -> None:
    """The worked example of Aliyun's own description of the scheme, with its placeholder key."""
    headers = {
        "host": "ecs.cn-shanghai.aliyuncs.com",
        "x-acs-action": "RunInstances",
        "x-acs-content-sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "x-acs-date": "2023-10-26T10:22:32Z",
        "x-acs-signature-nonce": "3156853299f313e23d1673dc12e1703d",
        "x-acs-version": "2014-05-26",
    }
    query = {"RegionId": "cn-shanghai", "ImageId": "win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd"}
    made = authorization("YourAccessKeyId", "YourAccessKeySecret", query, headers)
    assert made.endswith("Signature=06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0")
