"""Which providers each tenant uses, from one file per tenant: `<data>/providers/<tenant>.toml`.

Without a file everything goes to the recording providers, which move no money and send nothing. With one, exactly what
it names is offered: `[channels]` and `[payouts]` say which provider carries what, and a table per provider holds its
credentials; without `[sms]` messages stay recorded. The file and the keys it names are readable by their owner only,
are read when they are needed and again when the file has changed, and never reach the database or a log.
"""

from __future__ import annotations

import logging
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from cloud.errors import FleetError
from cloud.providers.alipay import GATEWAY as ALIPAY_GATEWAY
from cloud.providers.alipay import Alipay, AlipayAccount
from cloud.providers.aliyun_sms import GATEWAY as ALIYUN_GATEWAY
from cloud.providers.aliyun_sms import AliyunAccount, AliyunSms
from cloud.providers.asking import open_client
from cloud.providers.keys import OwnKey, TheirKey, private_file
from cloud.providers.payment import CHANNELS, PAYOUT_WAYS, Channel, PaymentProvider, PayoutWay
from cloud.providers.recording import RECORDING, RecordingPayments
from cloud.providers.sms import RecordingSms, SmsProvider
from cloud.providers.wechat import GATEWAY as WECHAT_GATEWAY
from cloud.providers.wechat import WeChatAccount, WeChatPay
from cloud.providers.wechat_people import OfficialAccountPeople, RecordingPeople, WeChatPeople
from shared.clock import Clock
from shared.ids import MalformedId, check_id

log = logging.getLogger("cloud.providers")

# What each provider can carry. Cards have no adapter of their own here: an aggregator's would be named in this table.
CARRIES: Mapping[str, frozenset[str]] = {
    "wechat": frozenset({"weixin_jsapi", "weixin_native", "weixin_app", "weixin"}),
    "alipay": frozenset({"alipay_app", "alipay_wap", "alipay_qr", "alipay"}),
    RECORDING: frozenset({*CHANNELS, *PAYOUT_WAYS}),
}
# WeChat prescribes it.
_API_V3_KEY_CHARS = 32


@dataclass(frozen=True, slots=True)
class Chosen:
    """What one tenant uses: providers by name, and the name of the one that carries each channel and way."""

    payment: Mapping[str, PaymentProvider]
    channels: Mapping[str, str]
    payouts: Mapping[str, str]
    sms: SmsProvider = field(repr=False)


def recording_only() -> Chosen:
    """What a tenant uses who has configured nothing."""
    return Chosen(
        payment={RECORDING: RecordingPayments()},
        channels=dict.fromkeys(CHANNELS, RECORDING),
        payouts=dict.fromkeys(PAYOUT_WAYS, RECORDING),
        sms=RecordingSms(),
    )


class Providers:
    """The providers of every tenant, read from `folder`. It owns its connections: whoever made it closes it."""

    def __init__(self, folder: Path, clock: Clock, client: httpx2.AsyncClient | None = None) -> None:
        self._folder = folder
        self._clock = clock
        self._client = client
        # By tenant: what the file said, and which version of the file that was.
        self._read: dict[str, tuple[tuple[int, int], Chosen]] = {}

    def of(self, tenant: str) -> Chosen:
        """What a tenant uses; FleetError not_found for an id that is none, unavailable when the file cannot be used."""
        try:
            path = self._folder / f"{check_id('tenant', tenant)}.toml"
        except MalformedId as error:
            raise FleetError("not_found", f"no tenant {tenant[:60]!r}", field="tenant") from error
        try:
            found = path.stat()
        except FileNotFoundError:
            return recording_only()
        version = (found.st_mtime_ns, found.st_size)
        if tenant not in self._read or self._read[tenant][0] != version:
            try:
                self._read[tenant] = version, self._choose(path)
            except FleetError as error:
                # Whoever asks may be a customer: what is wrong with our files is none of his business.
                log.error("the providers of tenant %s cannot be used: %s", tenant, error)
                raise FleetError("unavailable", "payment is not set up here; the log says what is wrong") from error
        return self._read[tenant][1]

    def payment(self, tenant: str, name: str) -> PaymentProvider:
        """A tenant's provider of that name; FleetError not_found when he does not use it."""
        found = self.of(tenant).payment.get(name)
        if found is None:
            raise FleetError("not_found", f"no payment provider {name[:60]!r}", field="provider")
        return found

    def for_channel(self, tenant: str, channel: Channel) -> PaymentProvider:
        """Who carries payments over `channel`; FleetError unavailable when nobody does."""
        return self._carrier(tenant, self.of(tenant).channels.get(channel), "channel", channel)

    def for_payout(self, tenant: str, way: PayoutWay) -> PaymentProvider:
        """Who pays out over `way`; FleetError unavailable when nobody does."""
        return self._carrier(tenant, self.of(tenant).payouts.get(way), "way", way)

    def sms(self, tenant: str) -> SmsProvider:
        """Who sends a tenant's messages."""
        return self.of(tenant).sms

    def people(self, app: str, secret: str) -> WeChatPeople:
        """Who knows the WeChat accounts behind codes: WeChat, with the key of an official account, or nobody."""
        return OfficialAccountPeople(app, secret, self._open()) if app and secret else RecordingPeople()

    async def close(self) -> None:
        """Give the connections back."""
        if self._client is not None:
            await self._client.aclose()

    def _carrier(self, tenant: str, name: str | None, asked: str, value: str) -> PaymentProvider:
        if name is None:
            raise FleetError("unavailable", f"{value!r} is not offered here", field=asked)
        return self.payment(tenant, name)

    def _choose(self, path: Path) -> Chosen:
        try:
            document = tomllib.loads(private_file(path).decode())
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise FleetError("invalid", f"{path} is not TOML: {error}", field=path.name) from error
        top = _Table(path, "", document, known={"channels", "payouts", "wechat", "alipay", "sms"})
        payment: dict[str, PaymentProvider] = {RECORDING: RecordingPayments()}
        if "wechat" in document:
            payment["wechat"] = WeChatPay(_wechat(top.table("wechat", _WECHAT)), self._open(), self._clock)
        if "alipay" in document:
            payment["alipay"] = Alipay(_alipay(top.table("alipay", _ALIPAY)), self._open(), self._clock)
        sms: SmsProvider = RecordingSms()
        if "sms" in document:
            sms = AliyunSms(_aliyun(top.table("sms", _SMS)), self._open(), self._clock)
        channels = _carried(top.table("channels", frozenset(CHANNELS)), payment)
        payouts = _carried(top.table("payouts", frozenset(PAYOUT_WAYS)), payment)
        used = {*channels.values(), *payouts.values()}
        # Who named a real provider for everything has no use for one that is settled by saying so.
        kept = {name: provider for name, provider in payment.items() if name != RECORDING or RECORDING in used}
        return Chosen(kept, channels, payouts, sms)

    def _open(self) -> httpx2.AsyncClient:
        if self._client is None:
            self._client = open_client()
        return self._client


class _Table:
    """One table of the file. Whatever is wrong is named by file and key, and no value is ever shown."""

    def __init__(self, path: Path, name: str, values: Mapping[str, Any], known: frozenset[str] | set[str]) -> None:
        self._path = path
        self._name = name
        self._values = values
        if unknown := sorted(set(values) - known):
            raise self.wrong(unknown[0], f"it is not one of {', '.join(sorted(known))}")

    def wrong(self, key: str, expected: str) -> FleetError:
        """What is wrong with a key."""
        return FleetError("invalid", f"{self._path.name}: {key}: {expected}", field=f"{self._name}.{key}".lstrip("."))

    def table(self, key: str, known: frozenset[str]) -> _Table:
        """A table inside; an absent one is empty."""
        inner = self._values.get(key, {})
        if not isinstance(inner, dict):
            raise self.wrong(key, "a table is expected")
        return _Table(self._path, key, inner, known)

    def texts(self) -> dict[str, str]:
        """Every key and its text."""
        return {key: self.text(key) for key in self._values}

    def inner_texts(self, key: str) -> dict[str, str]:
        """Every key and text of a table inside, whatever the keys are called."""
        inner = self._values.get(key, {})
        return self.table(key, frozenset(inner)).texts() if inner else {}

    def text(self, key: str, default: str | None = None) -> str:
        """A text that is not empty."""
        found = self._values.get(key, default)
        if not isinstance(found, str) or (not found and default is None):
            raise self.wrong(key, "a text is expected")
        return found

    def gateway(self, default: str) -> str:
        """Where the provider is asked: over TLS, or on this computer."""
        found = self.text("gateway", default)
        if not found.startswith(("https://", "http://127.0.0.1:")):
            raise self.wrong("gateway", "an address that begins with https:// is expected")
        return found.rstrip("/")

    def key_file(self, key: str) -> tuple[bytes, str]:
        """The bytes of a private file beside this one, and its name."""
        path = self._path.parent / self.text(key)
        return private_file(path), path.name


_WECHAT = frozenset(
    {"merchant", "app", "certificate_serial", "private_key_file", "api_v3_key", "public_key_id", "public_key_file"}
    | {"transfer_scene", "transfer_report", "gateway"}
)
_ALIPAY = frozenset({"app", "seller", "private_key_file", "public_key_file", "gateway"})
_SMS = frozenset({"access_key", "secret", "signature", "templates", "gateway"})


def _wechat(table: _Table) -> WeChatAccount:
    api_v3_key = table.text("api_v3_key").encode()
    if len(api_v3_key) != _API_V3_KEY_CHARS:
        raise table.wrong("api_v3_key", f"{_API_V3_KEY_CHARS} characters are expected")
    return WeChatAccount(
        merchant=table.text("merchant"),
        app=table.text("app"),
        certificate_serial=table.text("certificate_serial"),
        private_key=OwnKey(*table.key_file("private_key_file")),
        api_v3_key=api_v3_key,
        public_key_id=table.text("public_key_id"),
        public_key=TheirKey(*table.key_file("public_key_file")),
        transfer_scene=table.text("transfer_scene", ""),
        transfer_report=table.inner_texts("transfer_report"),
        gateway=table.gateway(WECHAT_GATEWAY),
    )


def _alipay(table: _Table) -> AlipayAccount:
    return AlipayAccount(
        app=table.text("app"),
        seller=table.text("seller"),
        private_key=OwnKey(*table.key_file("private_key_file")),
        public_key=TheirKey(*table.key_file("public_key_file")),
        gateway=table.gateway(ALIPAY_GATEWAY),
    )


def _aliyun(table: _Table) -> AliyunAccount:
    return AliyunAccount(
        access_key=table.text("access_key"),
        secret=table.text("secret"),
        signature=table.text("signature"),
        templates=table.inner_texts("templates"),
        gateway=table.gateway(ALIYUN_GATEWAY),
    )


def _carried(table: _Table, payment: Mapping[str, PaymentProvider]) -> dict[str, str]:
    carried = table.texts()
    for what, name in carried.items():
        if name not in payment:
            raise table.wrong(what, f"{name!r} is not one of {', '.join(sorted(payment))}: its table is missing")
        if what not in CARRIES[name]:
            raise table.wrong(what, f"{name} carries {', '.join(sorted(CARRIES[name]))}")
    return carried
