"""Other people's secrets that we have to keep: sealed before they are written, opened only to be used.

The key derives from the server's secret, which lies outside the database: a copy of the database opens none of them.
What is sealed is bound to its brand and its name, so that it cannot be put in the place of another.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from cloud.errors import FleetError

_LABEL = b"aisleflow vault v1"
# What AES-GCM asks for; random, because one key seals a few thousand secrets in its life.
_NONCE_BYTES = 12


class Vault:
    """Seals and opens; its `repr` shows nothing."""

    def __init__(self, server_secret: bytes) -> None:
        self._cipher = AESGCM(hmac.new(server_secret, _LABEL, hashlib.sha256).digest())

    def seal(self, tenant: str, name: str, secret: str) -> str:
        """The secret as it may be written down."""
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._cipher.encrypt(nonce, secret.encode(), f"{tenant}/{name}".encode())
        return base64.b64encode(nonce + sealed).decode()

    def open(self, tenant: str, name: str, sealed: str) -> str:
        """The secret again; "" for one that was never set. FleetError unavailable when another key sealed it."""
        if not sealed:
            return ""
        raw = base64.b64decode(sealed)
        try:
            opened = self._cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], f"{tenant}/{name}".encode())
        except InvalidTag as error:
            raise FleetError("unavailable", f"{name} was sealed by another server: set it again", field=name) from error
        return opened.decode()
