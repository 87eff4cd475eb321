"""Alipay's open platform: payments in an app, in a phone's browser and by code; refunds, transfers, callbacks.

Parameters are sorted, joined and signed (RSA2); the gateway signs the text of its answer's inner object, so that text
is cut out as it came and not written anew. A callback is a form, signed the same way. Amounts are yuan with two
decimals on the wire and never leave this file that way.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

import httpx2

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
)
from shared.clock import Clock

GATEWAY = "https://openapi.alipay.com/gateway.do"
_CHINA = timezone(timedelta(hours=8))
_OK = "10000"
_STATES = {"TRADE_SUCCESS": "captured", "TRADE_FINISHED": "captured", "TRADE_CLOSED": "closed"}
# The payee does not exist or is somebody else: nothing was transferred, and nothing will be.
_NO_SUCH_PAYEE = frozenset(
    {"PAYEE_NOT_EXIST", "PAYEE_USER_INFO_ERROR", "PAYEE_ACC_OCUPIED", "PAYEE_NOT_RELNAME_CERTIFY"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AlipayAccount:
    """A seller's credentials. `repr` shows no key."""

    app: str
    seller: str
    private_key: OwnKey = field(repr=False)
    public_key: TheirKey = field(repr=False)
    gateway: str = GATEWAY


class Alipay:
    """Alipay with one seller's credentials."""

    name = "alipay"

    def __init__(self, account: AlipayAccount, client: httpx2.AsyncClient, clock: Clock) -> None:
        self._account = account
        self._client = client
        self._clock = clock

    @property
    def merchant(self) -> str:
        """Seller and app."""
        return f"{self._account.seller}/{self._account.app}"

    async def begin(self, ask: PrepayAsk) -> dict[str, str]:
        """In an app or browser the signed order itself is what the client is given; a code is drawn by the gateway."""
        order: dict[str, Any] = {
            "out_trade_no": ask.payment,
            "total_amount": _yuan(ask.amount_fen),
            "subject": ask.title,
            "time_expire": _china_time(ask.expires_ms),
        }
        if ask.channel == "alipay_qr":
            answer = await self._ask("alipay.trade.precreate", order, notify_url=ask.notify_url)
            _demand(answer)
            return {"qr_code": str(answer["qr_code"])}
        method, product = {
            "alipay_app": ("alipay.trade.app.pay", "QUICK_MSECURITY_PAY"),
            "alipay_wap": ("alipay.trade.wap.pay", "QUICK_WAP_WAY"),
        }[ask.channel]
        signed = urlencode(self._signed(method, {**order, "product_code": product}, ask.notify_url), quote_via=quote)
        return {"order": signed} if ask.channel == "alipay_app" else {"url": f"{self._account.gateway}?{signed}"}

    async def query(self, payment: str) -> PaymentReport:
        """Ask after a payment by our number. A payer who has not logged in yet leaves no trade: absent."""
        answer = await self._ask("alipay.trade.query", {"out_trade_no": payment})
        if answer.get("sub_code") == "ACQ.TRADE_NOT_EXIST":
            return PaymentReport(payment=payment, state="absent")
        _demand(answer, final=False)
        # The answer is to our own question, under our own app: it names no seller.
        return self._report({**answer, "app_id": self._account.app, "seller_id": self._account.seller})

    async def close(self, payment: str) -> None:
        """Close the trade."""
        answer = await self._ask("alipay.trade.close", {"out_trade_no": payment})
        if answer.get("code") == _OK or answer.get("sub_code") == "ACQ.TRADE_NOT_EXIST":
            return
        paid = answer.get("sub_code") == "ACQ.TRADE_STATUS_ERROR"
        raise FleetError("conflict" if paid else "unavailable", _complaint(answer))

    async def refund(self, ask: RefundAsk) -> OutgoingReport:
        """Refund; the same number again has no second effect. Never refused on an error: that may be mended."""
        asked = {
            "out_trade_no": ask.payment,
            "refund_amount": _yuan(ask.refund_fen),
            "out_request_no": ask.refund,
            "refund_reason": ask.reason[:80],
        }
        answer = await self._ask("alipay.trade.refund", asked)
        _demand(answer, final=False)
        transaction = str(answer.get("trade_no", ""))
        if answer.get("fund_change") == "Y":
            return OutgoingReport(state="done", transaction=transaction)
        # Nothing moved just now: either it did before, or it will.
        known = {"out_trade_no": ask.payment, "out_request_no": ask.refund}
        found = await self._ask("alipay.trade.fastpay.refund.query", known)
        done = found.get("code") == _OK and found.get("refund_status") == "REFUND_SUCCESS"
        return OutgoingReport(state="done" if done else "accepted", transaction=transaction)

    async def pay_out(self, ask: PayoutAsk) -> OutgoingReport:
        """Transfer to a login (an e-mail address or phone number) or a user id. Asked after first."""
        known = {"out_biz_no": ask.payout, "product_code": "TRANS_ACCOUNT_NO_PWD", "biz_scene": "DIRECT_TRANSFER"}
        answer = await self._ask("alipay.fund.trans.common.query", known)
        if answer.get("sub_code") == "ORDER_NOT_EXIST":
            is_id = re.fullmatch(r"2088[0-9]{12}", ask.payee) is not None
            payee = {"identity": ask.payee, "identity_type": "ALIPAY_USER_ID" if is_id else "ALIPAY_LOGON_ID"}
            if ask.payee_name:
                payee["name"] = ask.payee_name
            order = {**known, "trans_amount": _yuan(ask.amount_fen), "order_title": ask.note[:64], "payee_info": payee}
            answer = await self._ask("alipay.fund.trans.uni.transfer", order)
            if answer.get("sub_code") in _NO_SUCH_PAYEE:
                return OutgoingReport(state="refused", detail=_complaint(answer))
        _demand(answer, final=False)
        said = str(answer.get("status"))
        state = {"SUCCESS": "done", "FAIL": "refused", "CLOSED": "refused"}.get(said, "accepted")
        return OutgoingReport(
            state=state,  # type: ignore[arg-type]
            transaction=str(answer.get("order_id", "")),
            detail=str(answer.get("fail_reason") or said),
        )

    def read_callback(self, headers: Mapping[str, str], body: bytes, now_ms: int) -> Notice:
        """Check the signature of the form. Its age proves nothing: Alipay repeats the same one for a day."""
        try:
            pairs = parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=True, max_num_fields=100)
        except ValueError as error:
            raise BadCallback("unreadable", "not a form") from error
        said = dict(pairs)
        if len(said) != len(pairs):
            raise BadCallback("unreadable", "a field that is there twice")
        if said.get("sign_type") != "RSA2" or not self._account.public_key.signed(
            _text_of(said, without=("sign", "sign_type")).encode(), said.get("sign", "")
        ):
            raise BadCallback("forged", "Alipay's key has not signed this")
        if not said.get("notify_id"):
            raise BadCallback("unreadable", "it has no number")
        if "trade_status" not in said or "out_trade_no" not in said:
            return Notice(event=said["notify_id"], report=None)
        # One number serves all states of a trade that are told in one day; the state makes it an event.
        return Notice(event=f"{said['notify_id']}/{said['trade_status']}", report=self._report(said))

    def answer(self, trouble: str | None) -> CallbackAnswer:
        """Exactly `success` ends it; with anything else Alipay calls again."""
        return CallbackAnswer(200, "text/plain", "success" if trouble is None else "fail")

    def _report(self, said: Mapping[str, Any]) -> PaymentReport:
        return PaymentReport(
            payment=str(said["out_trade_no"]),
            state=_STATES.get(str(said.get("trade_status")), "unpaid"),  # type: ignore[arg-type]
            amount_fen=_fen(str(said.get("total_amount", "0"))),
            merchant=f"{said.get('seller_id')}/{said.get('app_id')}",
            transaction=str(said.get("trade_no", "")),
        )

    def _signed(self, method: str, content: Mapping[str, Any], notify_url: str = "") -> dict[str, str]:
        parameters = {
            "app_id": self._account.app,
            "method": method,
            "format": "JSON",
            "charset": "utf-8",
            "sign_type": "RSA2",
            "timestamp": _china_time(self._clock.wall_ms()),
            "version": "1.0",
            "biz_content": json.dumps(content, ensure_ascii=False, separators=(",", ":")),
        }
        if notify_url:
            parameters["notify_url"] = notify_url
        return {**parameters, "sign": self._account.private_key.sign(_text_of(parameters))}

    async def _ask(self, method: str, content: Mapping[str, Any], *, notify_url: str = "") -> dict[str, Any]:
        """One signed request; answers the inner object. FleetError unavailable when Alipay has not signed it."""
        form = urlencode(self._signed(method, content, notify_url)).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded;charset=utf-8"}
        answer = await ask(self._client, "Alipay", "POST", self._account.gateway, headers=headers, content=form)
        text, signature = _inner_text(answer.text, method.replace(".", "_") + "_response")
        if not self._account.public_key.signed(text.encode(), signature):
            raise FleetError("unavailable", "an answer in the name of Alipay is not signed by it")
        said = json.loads(text)
        return said if isinstance(said, dict) else {}


def _inner_text(answer: str, name: str) -> tuple[str, str]:
    """The text of an answer's inner object, exactly as it came, and the signature beside it."""
    try:
        outer = json.loads(answer)
        begin = re.search(rf'"{name}"\s*:\s*', answer)
        if begin is None:
            raise ValueError(name)
        _, end = json.JSONDecoder().raw_decode(answer, begin.end())
        return answer[begin.end() : end], str(outer["sign"])
    except (ValueError, KeyError, TypeError) as error:
        raise FleetError("unavailable", "Alipay's answer cannot be read") from error


def _text_of(parameters: Mapping[str, str], without: tuple[str, ...] = ()) -> str:
    """What is signed: `name=value`, sorted by name and joined with '&'; empty values are left out."""
    return "&".join(f"{name}={value}" for name, value in sorted(parameters.items()) if value and name not in without)


def _demand(answer: Mapping[str, Any], *, final: bool = True) -> None:
    """Refuse an answer that is not a yes; `final`: a no that comes from the business and not from an outage counts."""
    if answer.get("code") == _OK:
        return
    business = answer.get("code") in ("40004", "40002", "40006") and answer.get("sub_code") != "ACQ.SYSTEM_ERROR"
    raise FleetError("conflict" if final and business else "unavailable", _complaint(answer))


def _complaint(answer: Mapping[str, Any]) -> str:
    words = [str(answer.get(name, "")) for name in ("code", "sub_code", "sub_msg")]
    return f"Alipay answers {' '.join(word for word in words if word)[:300]}"


def _yuan(fen: int) -> str:
    return f"{fen // 100}.{fen % 100:02d}"


def _fen(yuan: str) -> int:
    """An amount in fen; one that is not a whole number of fen is no amount of ours, and answers -1."""
    try:
        fen = Decimal(yuan) * 100
    except InvalidOperation:
        return -1
    return int(fen) if fen.is_finite() and fen == fen.to_integral_value() else -1


def _china_time(wall_ms: int) -> str:
    return datetime.fromtimestamp(wall_ms // 1000, _CHINA).strftime("%Y-%m-%d %H:%M:%S")
