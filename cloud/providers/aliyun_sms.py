"""Short messages through Aliyun (Dysmsapi, SendSms), signed with ACS3-HMAC-SHA256."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote

import httpx2

from cloud.errors import FleetError
from cloud.providers.asking import ask
from cloud.providers.sms import Sms
from shared.clock import Clock

GATEWAY = "https://dysmsapi.aliyuncs.com"
_ACTION, _VERSION = "SendSms", "2017-05-25"
_SCHEME = "ACS3-HMAC-SHA256"
# No message of ours: the number is none, the template or signature is not approved. Trying again mends nothing.
_FINAL = ("isv.MOBILE_NUMBER_ILLEGAL", "isv.SMS_TEMPLATE_ILLEGAL", "isv.SMS_SIGNATURE_ILLEGAL", "isv.BLACK_KEY")
# Too many to this number for the provider's own taste: by the time it is allowed the code is void.
_TOO_MANY = "isv.BUSINESS_LIMIT_CONTROL"


@dataclass(frozen=True, slots=True, kw_only=True)
class AliyunAccount:
    """An access key, the approved signature, and the approved template of each of our messages."""

    access_key: str
    secret: str = field(repr=False)
    signature: str
    templates: Mapping[str, str]
    gateway: str = GATEWAY


class AliyunSms:
    """Sends messages with one account's key."""

    name = "aliyun"

    def __init__(self, account: AliyunAccount, client: httpx2.AsyncClient, clock: Clock) -> None:
        self._account = account
        self._client = client
        self._clock = clock

    async def send(self, sms: Sms) -> None:
        """Send one message. FleetError: unavailable (later it may work), or conflict (this one never will)."""
        template = self._account.templates.get(sms.template)
        if template is None:
            raise FleetError("conflict", f"there is no template for {sms.template}", field="templates")
        query = {
            "PhoneNumbers": sms.phone,
            "SignName": self._account.signature,
            "TemplateCode": template,
            "TemplateParam": json.dumps({"code": sms.code}),
            "OutId": sms.reference,
        }
        url = httpx2.URL(self._account.gateway)
        at = datetime.fromtimestamp(self._clock.wall_ms() // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        headers = {
            "host": url.netloc.decode(),
            "x-acs-action": _ACTION,
            "x-acs-version": _VERSION,
            "x-acs-date": at,
            "x-acs-signature-nonce": secrets.token_hex(16),
            "x-acs-content-sha256": hashlib.sha256(b"").hexdigest(),
        }
        headers["authorization"] = authorization(self._account.access_key, self._account.secret, query, headers)
        address = f"{self._account.gateway}/?{canonical_query(query)}"
        answer = await ask(self._client, "Aliyun", "POST", address, headers=headers)
        try:
            said = answer.json()
        except ValueError as error:
            raise FleetError("unavailable", f"Aliyun answers {answer.status_code} without JSON") from error
        code = str(said.get("Code")) if isinstance(said, dict) else ""
        if code != "OK":
            final = code in _FINAL or code == _TOO_MANY
            # Their message may repeat the number: the code says enough.
            raise FleetError("conflict" if final else "unavailable", f"Aliyun answers {answer.status_code} {code}")


def canonical_query(query: Mapping[str, str]) -> str:
    """The query as it is signed and sent: sorted, and everything but unreserved characters encoded."""
    return "&".join(f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in sorted(query.items()))


def authorization(
    access_key: str,
    secret: str,
    query: Mapping[str, str],
    headers: Mapping[str, str],
    *,
    method: str = "POST",
    path: str = "/",
) -> str:
    """The Authorization header of a request without a body; `headers` are those that are signed, in lower case."""
    names = ";".join(sorted(headers))
    lines = "".join(f"{name}:{headers[name].strip()}\n" for name in sorted(headers))
    request = "\n".join((method, path, canonical_query(query), lines, names, headers["x-acs-content-sha256"]))
    hashed = hashlib.sha256(request.encode()).hexdigest()
    signature = hmac.new(secret.encode(), f"{_SCHEME}\n{hashed}".encode(), hashlib.sha256).hexdigest()
    return f"{_SCHEME} Credential={access_key},SignedHeaders={names},Signature={signature}"
