"""Other people's servers on this computer: a small HTTP server, and the payment and message services that live in it.

They check signatures like the real ones, with keys made for the test run, and sign what they say.
"""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256

MERCHANT, APP, SERIAL = "1900000009", "wx0000000000000009", "5157F09EFDC096DE15EBE81A47057A7232F1B8E1"
PUBLIC_KEY_ID = "PUB_KEY_ID_0119000000092026010100000000000001"
API_V3_KEY = "an-invented-key-of-32-characters"
SELLER, ALIPAY_APP = "2088000000000009", "2021000000000009"


@cache
def key(name: str) -> rsa.RSAPrivateKey:
    """One key pair per name and test run."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def private_pem(name: str) -> bytes:
    form = serialization.PrivateFormat.PKCS8
    return key(name).private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def public_pem(name: str) -> bytes:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key(name).public_key().public_bytes(serialization.Encoding.PEM, form)


def sign(name: str, text: bytes) -> str:
    return base64.b64encode(key(name).sign(text, PKCS1v15(), SHA256())).decode()


def signed_by(name: str, text: bytes, signature: str) -> bool:
    try:
        key(name).public_key().verify(base64.b64decode(signature), text, PKCS1v15(), SHA256())
    except InvalidSignature:
        return False
    return True


@dataclass(frozen=True)
class Asked:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


@dataclass(frozen=True)
class Said:
    """One answer."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


# None: hang up without a word.
Handle = Callable[[Asked], Said | None]


@asynccontextmanager
async def serving(handle: Handle) -> AsyncIterator[str]:
    """A server on a free port; answers its address."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.split("\r\n")
            method, path, _ = first.split(" ")
            pairs = [line.partition(":") for line in lines if line]
            headers = {name.lower(): value.strip() for name, _, value in pairs}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            said = handle(Asked(method, path, headers, body))
            if said is not None:
                shown = {"Content-Length": str(len(said.body)), "Connection": "close", **said.headers}
                lines = [f"HTTP/1.1 {said.status} X", *(f"{name}: {value}" for name, value in shown.items())]
                writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + said.body)
                await writer.drain()
        finally:
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


# --- WeChat Pay ---


@dataclass
class WeChatHouse:
    """WeChat Pay's side of the protocol, for one merchant."""

    now_ms: Callable[[], int]
    orders: dict[str, dict[str, Any]] = field(default_factory=dict)
    refunds: dict[str, dict[str, Any]] = field(default_factory=dict)
    transfers: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    # Which key signs the answers, and what the next answers are instead of the usual ones.
    signer: str = "wechat"
    moods: list[Said | None] = field(default_factory=list)

    def handle(self, asked: Asked) -> Said | None:
        self.asked.append(asked)
        if self.moods:
            return self.moods.pop(0)
        if not self._is_from_merchant(asked):
            return self._say(401, {"code": "SIGN_ERROR", "message": "wrong signature"})
        path = asked.path.partition("?")[0]
        if path.startswith("/v3/pay/transactions/out-trade-no/"):
            number = path.split("/")[5]
            return self._close(number) if path.endswith("/close") else self._query(number)
        if path.startswith("/v3/pay/transactions/"):
            return self._prepay(path.rsplit("/", 1)[1], asked.json)
        if path == "/v3/refund/domestic/refunds":
            return self._refund(asked.json)
        return self._transfer(asked)

    def pay(self, payment: str, *, total: int | None = None, mchid: str = MERCHANT) -> dict[str, Any]:
        """Somebody pays; answers the transaction as WeChat describes it."""
        order = self.orders[payment]
        order.update(trade_state="SUCCESS", transaction_id=f"42000{payment}")
        amount = {"total": total or order["amount"]["total"], "currency": "CNY"}
        return {**order, "mchid": mchid, "amount": {**amount, "payer_total": amount["total"]}}

    def callback(
        self, transaction: dict[str, Any], *, event: str = "e-1", kind: str = "TRANSACTION.SUCCESS", age_ms: int = 0
    ) -> tuple[dict[str, str], bytes]:
        """A signed callback about a transaction."""
        nonce = secrets.token_hex(6)
        sealed = AESGCM(API_V3_KEY.encode()).encrypt(nonce.encode(), json.dumps(transaction).encode(), b"transaction")
        resource = {"algorithm": "AEAD_AES_256_GCM", "ciphertext": base64.b64encode(sealed).decode(), "nonce": nonce}
        resource |= {"associated_data": "transaction", "original_type": "transaction"}
        envelope = {"id": event, "event_type": kind, "resource_type": "encrypt-resource", "resource": resource}
        body = json.dumps(envelope).encode()
        return self._signature(body, age_ms), body

    def _prepay(self, trade: str, asked: dict[str, Any]) -> Said:
        number = asked["out_trade_no"]
        if trade == "jsapi" and not asked["payer"]["openid"].startswith("o"):
            return self._say(400, {"code": "PARAM_ERROR", "message": "no such openid"})
        known = self.orders.setdefault(number, {**asked, "trade_state": "NOTPAY"})
        if known["amount"] != asked["amount"]:
            return self._say(400, {"code": "INVALID_REQUEST", "message": "other parameters"})
        by_code = {"code_url": f"weixin://pay/{number}"}
        return self._say(200, by_code if trade == "native" else {"prepay_id": f"wx{number}"})

    def _query(self, number: str) -> Said:
        if number not in self.orders:
            return self._say(404, {"code": "ORDER_NOT_EXIST", "message": "none"})
        return self._say(200, self.orders[number])

    def _close(self, number: str) -> Said:
        if self.orders[number]["trade_state"] == "SUCCESS":
            return self._say(400, {"code": "ORDERPAID", "message": "paid"})
        self.orders[number]["trade_state"] = "CLOSED"
        return self._say(204, None)

    def _refund(self, asked: dict[str, Any]) -> Said:
        known = self.refunds.setdefault(asked["out_refund_no"], {**asked, "status": "PROCESSING"})
        said = {"refund_id": f"50000{asked['out_refund_no']}", "status": known["status"]}
        known["status"] = "SUCCESS"
        return self._say(200, said)

    def _transfer(self, asked: Asked) -> Said:
        number = asked.json["out_bill_no"] if asked.method == "POST" else asked.path.rsplit("/", 1)[1]
        if asked.method == "POST":
            if not asked.json["openid"].startswith("o"):
                return self._say(400, {"code": "PARAM_ERROR", "message": "no such openid"})
            self.transfers[number] = {**asked.json, "state": "WAIT_USER_CONFIRM", "package_info": "p" * 8}
        if number not in self.transfers:
            return self._say(404, {"code": "NOT_FOUND", "message": "none"})
        return self._say(200, {"transfer_bill_no": f"13300{number}", **self.transfers[number]})

    def _is_from_merchant(self, asked: Asked) -> bool:
        scheme, _, rest = asked.headers["authorization"].partition(" ")
        parts = dict(part.split("=", 1) for part in rest.split(","))
        said = {name: value.strip('"') for name, value in parts.items()}
        head = f"{asked.method}\n{asked.path}\n{said['timestamp']}\n{said['nonce_str']}\n".encode()
        fits = (said["mchid"], said["serial_no"]) == (MERCHANT, SERIAL) and scheme == "WECHATPAY2-SHA256-RSA2048"
        return fits and signed_by("merchant", head + asked.body + b"\n", said["signature"])

    def _say(self, status: int, body: dict[str, Any] | None) -> Said:
        content = b"" if body is None else json.dumps(body).encode()
        return Said(status, content, {"Content-Type": "application/json", **self._signature(content)})

    def _signature(self, body: bytes, age_ms: int = 0) -> dict[str, str]:
        stamp, nonce = str((self.now_ms() - age_ms) // 1000), secrets.token_hex(8)
        return {
            "wechatpay-serial": PUBLIC_KEY_ID,
            "wechatpay-timestamp": stamp,
            "wechatpay-nonce": nonce,
            "wechatpay-signature": sign(self.signer, f"{stamp}\n{nonce}\n".encode() + body + b"\n"),
            "wechatpay-signature-type": "WECHATPAY2-SHA256-RSA2048",
        }


# --- Alipay ---


@dataclass
class AlipayHouse:
    """Alipay's side of the protocol, for one seller."""

    trades: dict[str, dict[str, Any]] = field(default_factory=dict)
    refunds: dict[str, str] = field(default_factory=dict)
    transfers: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[dict[str, str]] = field(default_factory=list)
    signer: str = "alipay"
    moods: list[Said | dict[str, Any] | None] = field(default_factory=list)

    def handle(self, asked: Asked) -> Said | None:
        form = dict(parse_qsl(asked.body.decode(), strict_parsing=True))
        self.asked.append(form)
        mood = self.moods.pop(0) if self.moods else {}
        if not isinstance(mood, dict):
            return mood
        node = form["method"].replace(".", "_") + "_response"
        said = mood or self._answer(form)
        text = json.dumps(said, ensure_ascii=False)
        answer = f'{{"{node}": {text},"sign":"{sign(self.signer, text.encode())}"}}'
        return Said(200, answer.encode(), {"Content-Type": "text/html;charset=utf-8"})

    def pay(self, payment: str, *, total: str, seller: str = SELLER) -> dict[str, str]:
        """Somebody pays; answers the form of the callback, unsigned."""
        trade = {"out_trade_no": payment, "trade_no": f"2026{payment}", "total_amount": total}
        self.trades[payment] = {**trade, "trade_status": "TRADE_SUCCESS"}
        said = {"app_id": ALIPAY_APP, "seller_id": seller, "subject": "钱包充值", "charset": "utf-8", "version": "1.0"}
        return {**self.trades[payment], **said, "notify_id": f"n-{payment}", "notify_time": "2026-11-20 12:00:00"}

    def callback(self, form: dict[str, str]) -> bytes:
        """The form with its signature."""
        return urlencode({**form, "sign_type": "RSA2", "sign": sign(self.signer, text_of(form).encode())}).encode()

    def _answer(self, form: dict[str, str]) -> dict[str, Any]:
        unsigned = {name: value for name, value in form.items() if name != "sign"}
        if form["app_id"] != ALIPAY_APP or not signed_by("seller", text_of(unsigned).encode(), form["sign"]):
            return {"code": "40002", "msg": "Invalid Arguments", "sub_code": "isv.invalid-signature"}
        asked = json.loads(form["biz_content"])
        ask = {
            "alipay.trade.precreate": self._precreate,
            "alipay.trade.query": self._query,
            "alipay.trade.close": self._close,
            "alipay.trade.refund": self._refund,
            "alipay.trade.fastpay.refund.query": self._refund_query,
            "alipay.fund.trans.uni.transfer": self._transfer,
            "alipay.fund.trans.common.query": self._transfer_query,
        }[form["method"]]
        return ask(asked)

    def _precreate(self, asked: dict[str, Any]) -> dict[str, Any]:
        self.trades[asked["out_trade_no"]] = {**asked, "trade_status": "WAIT_BUYER_PAY", "trade_no": "t"}
        return {"code": "10000", "msg": "Success", "qr_code": f"https://qr.example/{asked['out_trade_no']}"}

    def _query(self, asked: dict[str, Any]) -> dict[str, Any]:
        trade = self.trades.get(asked["out_trade_no"])
        return {"code": "10000", "msg": "Success", **trade} if trade else _no("ACQ.TRADE_NOT_EXIST")

    def _close(self, asked: dict[str, Any]) -> dict[str, Any]:
        trade = self.trades.get(asked["out_trade_no"])
        if trade is None:
            return _no("ACQ.TRADE_NOT_EXIST")
        if trade["trade_status"] != "WAIT_BUYER_PAY":
            return _no("ACQ.TRADE_STATUS_ERROR")
        trade["trade_status"] = "TRADE_CLOSED"
        return {"code": "10000", "msg": "Success"}

    def _refund(self, asked: dict[str, Any]) -> dict[str, Any]:
        first = asked["out_request_no"] not in self.refunds
        self.refunds[asked["out_request_no"]] = asked["refund_amount"]
        return {"code": "10000", "msg": "Success", "trade_no": "t", "fund_change": "Y" if first else "N"}

    def _refund_query(self, asked: dict[str, Any]) -> dict[str, Any]:
        known = asked["out_request_no"] in self.refunds
        return {"code": "10000", "msg": "Success", **({"refund_status": "REFUND_SUCCESS"} if known else {})}

    def _transfer(self, asked: dict[str, Any]) -> dict[str, Any]:
        if asked["payee_info"]["identity"].startswith("nobody"):
            return _no("PAYEE_NOT_EXIST")
        self.transfers[asked["out_biz_no"]] = asked
        return {"code": "10000", "msg": "Success", "order_id": f"o{asked['out_biz_no']}", "status": "SUCCESS"}

    def _transfer_query(self, asked: dict[str, Any]) -> dict[str, Any]:
        if asked["out_biz_no"] not in self.transfers:
            return _no("ORDER_NOT_EXIST")
        return {"code": "10000", "msg": "Success", "order_id": f"o{asked['out_biz_no']}", "status": "SUCCESS"}


def text_of(form: dict[str, str]) -> str:
    return "&".join(f"{name}={form[name]}" for name in sorted(form) if form[name])


def _no(code: str) -> dict[str, Any]:
    return {"code": "40004", "msg": "Business Failed", "sub_code": code, "sub_msg": "no"}


# --- the tenant's file ---


def write_providers(folder: Path, tenant: str, **gateways: str) -> Path:
    """A tenant's file with the keys beside it; `gateways` by provider: wechat, alipay, sms."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in ("merchant", "seller"):
        (folder / f"{name}.pem").write_bytes(private_pem(name))
    for name in ("wechat", "alipay"):
        (folder / f"{name}.pub").write_bytes(public_pem(name))
    lines = ["[channels]"]
    if "wechat" in gateways:
        lines += [f'{channel} = "wechat"' for channel in ("weixin_jsapi", "weixin_native", "weixin_app")]
    if "alipay" in gateways:
        lines += [f'{channel} = "alipay"' for channel in ("alipay_app", "alipay_wap", "alipay_qr")]
    lines += ["[payouts]", *(f'{way} = "{name}"' for way, name in _WAYS.items() if name in gateways)]
    if "wechat" in gateways:
        lines += ["[wechat]", f'merchant = "{MERCHANT}"', f'app = "{APP}"', f'certificate_serial = "{SERIAL}"']
        lines += ['private_key_file = "merchant.pem"', f'api_v3_key = "{API_V3_KEY}"']
        lines += [f'public_key_id = "{PUBLIC_KEY_ID}"', 'public_key_file = "wechat.pub"', 'transfer_scene = "1005"']
        lines += [f'gateway = "{gateways["wechat"]}"', 'transfer_report = { "岗位类型" = "推广员" }']
    if "alipay" in gateways:
        lines += ["[alipay]", f'app = "{ALIPAY_APP}"', f'seller = "{SELLER}"', 'private_key_file = "seller.pem"']
        lines += ['public_key_file = "alipay.pub"', f'gateway = "{gateways["alipay"]}"']
    if "sms" in gateways:
        lines += ["[sms]", 'access_key = "an-invented-key"', 'secret = "an-invented-secret"', 'signature = "示例水业"']
        lines += [f'gateway = "{gateways["sms"]}"', 'templates = { register = "SMS_100000001" }']
    path = folder / f"{tenant}.toml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    for file in folder.iterdir():
        file.chmod(0o600)
    return path


_WAYS = {"weixin": "wechat", "alipay": "alipay"}
