"""WeChat Pay, API v3: prepay, query, close, refund, transfers to members, and callbacks.

Requests are signed with the merchant's key, answers and callbacks with WeChat's public key, whose id they name. An
answer that WeChat has not signed is no answer. The contents of a callback are encrypted as well (AES-256-GCM, with the
merchant's API v3 key), which proves nothing about the sender and is only opened after the signature fits.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import quote

import httpx2
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from cloud.errors import FleetError
from cloud.providers.asking import ask
from cloud.providers.keys import OwnKey, TheirKey
from cloud.providers.payment import (
    BadCallback,
    CallbackAnswer,
    Notice,
    OutgoingReport,
    PaymentReport,
    PayoutAsk,
    PrepayAsk,
    RefundAsk,
    RefundReport,
)
from shared.clock import Clock

GATEWAY = "https://api.mch.weixin.qq.com"
_SCHEME = "WECHATPAY2-SHA256-RSA2048"
# A signed callback that is older or younger was recorded by somebody and played again; WeChat signs each try anew.
CALLBACK_AGE_MAX_MS = 5 * 60_000
# WeChat reads times in its own country.
_CHINA = timezone(timedelta(hours=8))
_TRADE_TYPES = {"weixin_jsapi": "jsapi", "weixin_native": "native", "weixin_app": "app"}
# 4xx that say nothing about this request for good: a signature or clock of ours that will be mended, too many at once.
_LATER = frozenset({401, 429})
# "It was paid": not a refusal, the question after the payment tells the rest.
_PAID_CODES = frozenset({"ORDERPAID", "ORDER_PAID", "OUT_TRADE_NO_USED"})
_ABSENT_CODES = frozenset({"ORDER_NOT_EXIST", "ORDERNOTEXIST", "NOT_FOUND", "RESOURCE_NOT_EXISTS"})
_STATES = {"SUCCESS": "captured", "REFUND": "captured", "CLOSED": "closed", "REVOKED": "closed"}


@dataclass(frozen=True, slots=True, kw_only=True)
class WeChatAccount:
    """A merchant's credentials. `repr` shows no key."""

    merchant: str
    app: str
    certificate_serial: str
    private_key: OwnKey = field(repr=False)
    api_v3_key: bytes = field(repr=False)
    public_key_id: str
    public_key: TheirKey = field(repr=False)
    # What kind of transfer WeChat is told, and the facts that it wants with it.
    transfer_scene: str = ""
    transfer_report: Mapping[str, str] = field(default_factory=dict)
    gateway: str = GATEWAY


class WeChatPay:
    """WeChat Pay with one merchant's credentials."""

    name = "wechat"

    def __init__(self, account: WeChatAccount, client: httpx2.AsyncClient, clock: Clock) -> None:
        self._account = account
        self._client = client
        self._clock = clock

    @property
    def merchant(self) -> str:
        """Merchant and app: the app decides whose openids these are."""
        return f"{self._account.merchant}/{self._account.app}"

    async def begin(self, ask: PrepayAsk) -> dict[str, str]:
        """Place the order at WeChat; the answer is for wx.requestPayment, the app's library, or a code to draw."""
        account, trade = self._account, _TRADE_TYPES[ask.channel]
        body: dict[str, Any] = {
            "appid": account.app,
            "mchid": account.merchant,
            "description": ask.title,
            "out_trade_no": ask.payment,
            "time_expire": _china_time(ask.expires_ms),
            "notify_url": ask.notify_url,
            "amount": {"total": ask.amount_fen, "currency": "CNY"},
        }
        if trade == "jsapi":
            body["payer"] = {"openid": ask.payer}
        status, answer = await self._ask("POST", f"/v3/pay/transactions/{trade}", body)
        if status != 200:
            final = 400 <= status < 500 and status not in _LATER and answer.get("code") not in _PAID_CODES
            raise FleetError("conflict" if final else "unavailable", _complaint(answer, status))
        if trade == "native":
            return {"code_url": str(answer["code_url"])}
        return self._for_client(trade, str(answer["prepay_id"]))

    def _for_client(self, trade: str, prepay_id: str) -> dict[str, str]:
        app, nonce, seconds = self._account.app, secrets.token_hex(16), str(self._clock.wall_ms() // 1000)
        if trade == "jsapi":
            package = f"prepay_id={prepay_id}"
            signature = self._account.private_key.sign(f"{app}\n{seconds}\n{nonce}\n{package}\n")
            signed = {"timeStamp": seconds, "nonceStr": nonce, "package": package, "signType": "RSA"}
            return {"appId": app, **signed, "paySign": signature}
        signature = self._account.private_key.sign(f"{app}\n{seconds}\n{nonce}\n{prepay_id}\n")
        signed = {"prepayid": prepay_id, "package": "Sign=WXPay", "noncestr": nonce, "timestamp": seconds}
        return {"appid": app, "partnerid": self._account.merchant, **signed, "sign": signature}

    async def query(self, payment: str) -> PaymentReport:
        """Ask after a payment by our number."""
        path = f"/v3/pay/transactions/out-trade-no/{payment}?mchid={quote(self._account.merchant)}"
        status, answer = await self._ask("GET", path)
        if status == 404 and answer.get("code") in _ABSENT_CODES:
            return PaymentReport(payment=payment, state="absent")
        if status != 200:
            raise FleetError("unavailable", _complaint(answer, status))
        return _report(answer)

    async def close(self, payment: str) -> None:
        """Close the order at WeChat."""
        path = f"/v3/pay/transactions/out-trade-no/{payment}/close"
        status, answer = await self._ask("POST", path, {"mchid": self._account.merchant})
        code = str(answer.get("code", ""))
        if status == 204 or code in _ABSENT_CODES | {"ORDER_CLOSED"}:
            return
        raise FleetError("conflict" if code in _PAID_CODES else "unavailable", _complaint(answer, status))

    async def refund(self, ask: RefundAsk) -> OutgoingReport:
        """Refund; WeChat answers the same number with how far it is. Never refused on an error: that may be mended."""
        body: dict[str, Any] = {
            "out_trade_no": ask.payment,
            "out_refund_no": ask.refund,
            "reason": ask.reason[:80],
            "amount": {"refund": ask.refund_fen, "total": ask.captured_fen, "currency": "CNY"},
        }
        if ask.notify_url:
            body["notify_url"] = ask.notify_url
        status, answer = await self._ask("POST", "/v3/refund/domestic/refunds", body)
        if status != 200:
            raise FleetError("unavailable", _complaint(answer, status))
        return _outgoing(str(answer.get("status")), answer)

    async def pay_out(self, ask: PayoutAsk) -> OutgoingReport:
        """Transfer to a member's change purse. Asked after first: a transfer is never ordered twice."""
        transfers = "/v3/fund-app/mch-transfer/transfer-bills"
        status, answer = await self._ask("GET", f"{transfers}/out-bill-no/{ask.payout}")
        if status == 404:
            status, answer = await self._ask("POST", transfers, self._transfer(ask))
            if status == 400 and answer.get("code") == "PARAM_ERROR":
                return OutgoingReport(state="refused", detail=_complaint(answer, status))
        if status != 200:
            raise FleetError("unavailable", _complaint(answer, status))
        said = str(answer.get("state"))
        state = {"SUCCESS": "done", "FAIL": "refused", "CANCELLED": "refused"}.get(said, "accepted")
        package = answer.get("package_info")
        to_confirm = {"mchId": self._account.merchant, "appId": self._account.app, "package": str(package)}
        return OutgoingReport(
            state=state,  # type: ignore[arg-type]
            transaction=str(answer.get("transfer_bill_no", "")),
            detail=str(answer.get("fail_reason") or said),
            parameters=to_confirm if package else {},
        )

    def _transfer(self, ask: PayoutAsk) -> dict[str, Any]:
        account = self._account
        body: dict[str, Any] = {
            "appid": account.app,
            "out_bill_no": ask.payout,
            "transfer_scene_id": account.transfer_scene,
            "openid": ask.payee,
            "transfer_amount": ask.amount_fen,
            "transfer_remark": ask.note[:32],
            "transfer_scene_report_infos": [
                {"info_type": kind, "info_content": said} for kind, said in account.transfer_report.items()
            ],
        }
        if ask.payee_name:
            body["user_name"] = account.public_key.seal(ask.payee_name)
        return body

    def read_callback(self, headers: Mapping[str, str], body: bytes, now_ms: int) -> Notice:
        """Check signature and age, then open what is inside."""
        if not self._is_signed(headers, body):
            raise BadCallback("forged", "WeChat's key has not signed this")
        age_ms = now_ms - int(headers["wechatpay-timestamp"]) * 1000
        if abs(age_ms) > CALLBACK_AGE_MAX_MS:
            raise BadCallback("late", f"signed {age_ms // 1000} s ago")
        readers: tuple[tuple[str, Callable[[Mapping[str, Any]], PaymentReport | RefundReport]], ...] = (
            ("TRANSACTION.", _report),
            ("REFUND.", self._refund_report),
        )
        try:
            envelope = json.loads(body)
            resource = envelope["resource"]
            read = next((read for kind, read in readers if str(envelope["event_type"]).startswith(kind)), None)
            if read is None:
                return Notice(event=str(envelope["id"]), report=None)
            opened = AESGCM(self._account.api_v3_key).decrypt(
                str(resource["nonce"]).encode(),
                base64.b64decode(str(resource["ciphertext"]), validate=True),
                str(resource.get("associated_data", "")).encode(),
            )
            return Notice(event=str(envelope["id"]), report=read(json.loads(opened)))
        except (ValueError, KeyError, TypeError, InvalidTag) as error:
            raise BadCallback("unreadable", f"{type(error).__name__} in a callback that WeChat has signed") from error

    def _refund_report(self, said: Mapping[str, Any]) -> RefundReport:
        """A refund as WeChat's callback describes it: it names the merchant, and no app."""
        report = _outgoing(str(said["refund_status"]), said)
        return RefundReport(
            refund=str(said["out_refund_no"]),
            payment=str(said["out_trade_no"]),
            amount_fen=int(said["amount"]["refund"]),
            merchant=f"{said['mchid']}/{self._account.app}",
            report=report,
        )

    def answer(self, trouble: str | None) -> CallbackAnswer:
        """204 ends it; with anything else WeChat calls again."""
        if trouble is None:
            return CallbackAnswer(204, "application/json", "")
        return CallbackAnswer(401, "application/json", json.dumps({"code": "FAIL", "message": trouble}))

    async def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        """One signed request; answers the status and the JSON. FleetError unavailable when the answer is not signed."""
        account = self._account
        content = "" if body is None else json.dumps(body, ensure_ascii=False, separators=(",", ":"))
        seconds, nonce = self._clock.wall_ms() // 1000, secrets.token_hex(16)
        signature = account.private_key.sign(f"{method}\n{path}\n{seconds}\n{nonce}\n{content}\n")
        authorization = (
            f'{_SCHEME} mchid="{account.merchant}",nonce_str="{nonce}",signature="{signature}",'
            f'timestamp="{seconds}",serial_no="{account.certificate_serial}"'
        )
        headers = {
            "Accept": "application/json",
            "Content-Type": "application/json",
            "Wechatpay-Serial": account.public_key_id,
            "Authorization": authorization,
        }
        url = account.gateway + path
        answer = await ask(self._client, "WeChat Pay", method, url, headers=headers, content=content.encode())
        if answer.status_code < 300 and not self._is_signed(answer.headers, answer.content):
            raise FleetError("unavailable", "an answer in the name of WeChat Pay is not signed by it")
        try:
            said = answer.json() if answer.content else {}
        except ValueError as error:
            raise FleetError("unavailable", f"WeChat Pay answers {answer.status_code} without JSON") from error
        return answer.status_code, said if isinstance(said, dict) else {}

    def _is_signed(self, headers: Mapping[str, str], body: bytes) -> bool:
        names = ("serial", "timestamp", "nonce", "signature")
        serial, timestamp, nonce, signature = (headers.get(f"wechatpay-{name}", "") for name in names)
        if serial != self._account.public_key_id or not timestamp.isdecimal():
            return False
        return self._account.public_key.signed(f"{timestamp}\n{nonce}\n".encode() + body + b"\n", signature)


def _outgoing(status: str, said: Mapping[str, Any]) -> OutgoingReport:
    """How far a refund is. One that is ABNORMAL waits for the merchant, so it is not refused."""
    state = {"SUCCESS": "done", "CLOSED": "refused"}.get(status, "accepted")
    return OutgoingReport(
        state=state,  # type: ignore[arg-type]
        transaction=str(said.get("refund_id", "")),
        detail=status,
    )


def _report(said: Mapping[str, Any]) -> PaymentReport:
    """A transaction as WeChat describes it."""
    amount = said.get("amount") or {}
    # Anything but yuan is another amount, whatever its number.
    in_yuan = amount.get("currency", "CNY") == "CNY"
    return PaymentReport(
        payment=str(said["out_trade_no"]),
        state=_STATES.get(str(said.get("trade_state")), "unpaid"),  # type: ignore[arg-type]
        amount_fen=int(amount.get("total", 0)) if in_yuan else 0,
        merchant=f"{said.get('mchid')}/{said.get('appid')}",
        transaction=str(said.get("transaction_id", "")),
    )


def _complaint(answer: Mapping[str, Any], status: int) -> str:
    return f"WeChat Pay answers {status} {answer.get('code', '')}: {str(answer.get('message', ''))[:200]}"


def _china_time(wall_ms: int) -> str:
    return datetime.fromtimestamp(wall_ms // 1000, _CHINA).isoformat()
