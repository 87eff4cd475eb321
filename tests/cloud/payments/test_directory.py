"""A tenant's file of providers: read when it is needed, refused when others can read it, and never shown."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cloud.errors import FleetError
from cloud.providers.directory import Providers
from cloud.providers.payment import CHANNELS, PAYOUT_WAYS
from shared.clock import ManualClock
from tests.cloud.payments.house import API_V3_KEY, write_providers

TENANT = "t1"
HERE = "http://127.0.0.1:9"


@pytest.fixture
async def providers(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Providers]:
    """A folder without files."""
    opened = Providers(tmp_path, clock)
    yield opened
    await opened.close()


def test_without_a_file_everything_is_recorded(providers: Providers) -> None:
    assert {providers.for_channel(TENANT, channel).name for channel in CHANNELS} == {"recording"}
    assert {providers.for_payout(TENANT, way).name for way in PAYOUT_WAYS} == {"recording"}
    assert providers.sms(TENANT).name == "recording"


def test_with_a_file_exactly_what_it_names_is_offered(providers: Providers, tmp_path: Path) -> None:
    write_providers(tmp_path, TENANT, wechat=HERE, sms=HERE)
    assert providers.for_channel(TENANT, "weixin_jsapi").name == "wechat"
    assert providers.for_payout(TENANT, "weixin").name == "wechat"
    assert providers.sms(TENANT).name == "aliyun"
    for channel in ("alipay_app", "credit", "debit"):
        with pytest.raises(FleetError, match="is not offered here"):
            providers.for_channel(TENANT, channel)  # type: ignore[arg-type]
    with pytest.raises(FleetError, match="is not offered here"):
        providers.for_payout(TENANT, "bank")
    with pytest.raises(FleetError, match="no payment provider 'recording'"):
        providers.payment(TENANT, "recording")  # nothing is settled by saying so
    assert providers.for_channel("t2", "credit").name == "recording"


def test_a_changed_file_is_read_again(providers: Providers, tmp_path: Path) -> None:
    path = write_providers(tmp_path, TENANT, wechat=HERE)
    first = providers.payment(TENANT, "wechat")
    assert providers.payment(TENANT, "wechat") is first
    path.write_text(path.read_text(encoding="utf-8") + "[channels.more]\n", encoding="utf-8")
    with pytest.raises(FleetError, match="not set up here"):
        providers.payment(TENANT, "wechat")
    path.unlink()
    assert providers.for_channel(TENANT, "credit").name == "recording"


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("[channels]", "[chanels]", "chanels: it is not one of alipay, channels, payouts, sms, wechat"),
        ('weixin_jsapi = "wechat"', 'weixin_jsapi = "alipay"', "'alipay' is not one of recording, wechat"),
        ('weixin_jsapi = "wechat"', 'credit = "wechat"', "wechat carries weixin"),
        (f'api_v3_key = "{API_V3_KEY}"', 'api_v3_key = "short"', "api_v3_key: 32 characters are expected"),
        ('merchant = "', "merchant = 5 #", "merchant: a text is expected"),
        ('gateway = "http://127.0.0.1:9"', 'gateway = "http://pay.example"', "begins with https://"),
        ('private_key_file = "merchant.pem"', 'private_key_file = "wechat.pub"', "is not an RSA private key"),
        ('public_key_file = "wechat.pub"', 'public_key_file = "merchant.pem"', "is not an RSA public key"),
        ('private_key_file = "merchant.pem"', 'private_key_file = "absent.pem"', "cannot be read"),
        ("[wechat]", "[wechat", "is not TOML"),
    ],
)
def test_what_is_wrong_is_named_in_the_log_and_told_to_nobody(
    old: str, new: str, complaint: str, providers: Providers, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_providers(tmp_path, TENANT, wechat=HERE)
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    with caplog.at_level(logging.ERROR), pytest.raises(FleetError) as refused:
        providers.of(TENANT)
    assert refused.value.kind == "unavailable"
    assert complaint in caplog.text
    assert str(tmp_path) not in refused.value.detail
    for secret in (API_V3_KEY, "PRIVATE KEY"):
        assert secret not in caplog.text + str(refused.value)


@pytest.mark.parametrize("name", [f"{TENANT}.toml", "merchant.pem"])
def test_what_others_can_read_is_not_used(
    name: str, providers: Providers, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_providers(tmp_path, TENANT, wechat=HERE)
    (tmp_path / name).chmod(0o640)
    with caplog.at_level(logging.ERROR), pytest.raises(FleetError, match="not set up here"):
        providers.of(TENANT)
    assert f"{name} can be read by others: chmod 600 it" in caplog.text


@pytest.mark.parametrize("tenant", ["../t1", "t1/..", "", "x" * 60, "t1.toml"])
def test_a_tenant_is_no_path(tenant: str, providers: Providers) -> None:
    with pytest.raises(FleetError, match="no tenant"):
        providers.of(tenant)


def test_nothing_shows_a_key(providers: Providers, tmp_path: Path) -> None:
    write_providers(tmp_path, TENANT, wechat=HERE, alipay=HERE, sms=HERE)
    chosen = providers.of(TENANT)
    shown = repr(chosen) + repr([vars(provider) for provider in chosen.payment.values()]) + repr(vars(chosen.sms))
    for secret in (API_V3_KEY, "an-invented-secret", "PRIVATE"):
        assert secret not in shown
