"""RSA with SHA-256 (PKCS #1 v1.5), as WeChat Pay and Alipay sign: the only place that touches a key."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP, PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from cloud.errors import FleetError


class OwnKey:
    """A private key of ours; its `repr` shows nothing."""

    def __init__(self, pem: bytes, name: str) -> None:
        """Raises FleetError invalid when `pem` (from the file `name`) is no RSA private key without a password."""
        try:
            key = load_pem_private_key(pem, password=None)
        except (ValueError, TypeError) as error:
            raise FleetError("invalid", f"{name} is not an RSA private key in PEM form", field=name) from error
        if not isinstance(key, RSAPrivateKey):
            raise FleetError("invalid", f"{name} is not an RSA private key in PEM form", field=name)
        self._key = key

    def sign(self, text: str) -> str:
        """The signature of `text`, in base64."""
        return base64.b64encode(self._key.sign(text.encode(), PKCS1v15(), SHA256())).decode()


class TheirKey:
    """A provider's public key."""

    def __init__(self, pem: bytes, name: str) -> None:
        """Raises FleetError invalid when `pem` (from the file `name`) is no RSA public key."""
        try:
            key = load_pem_public_key(pem)
        except ValueError as error:
            raise FleetError("invalid", f"{name} is not an RSA public key in PEM form", field=name) from error
        if not isinstance(key, RSAPublicKey):
            raise FleetError("invalid", f"{name} is not an RSA public key in PEM form", field=name)
        self._key = key

    def signed(self, text: bytes, signature: str) -> bool:
        """Whether the holder of this key signed exactly `text`."""
        try:
            self._key.verify(base64.b64decode(signature, validate=True), text, PKCS1v15(), SHA256())
        except (InvalidSignature, binascii.Error, ValueError):
            return False
        return True

    def seal(self, text: str) -> str:
        """`text` for the holder's eyes only (OAEP; SHA-1 is what WeChat Pay prescribes there), in base64."""
        padding = OAEP(mgf=MGF1(algorithm=SHA1()), algorithm=SHA1(), label=None)  # noqa: S303 - prescribed
        return base64.b64encode(self._key.encrypt(text.encode(), padding)).decode()


def private_file(path: Path) -> bytes:
    """The bytes of a file that nobody else can read; FleetError invalid when others can, or it is not there."""
    try:
        if path.stat().st_mode & 0o077:
            raise FleetError("invalid", f"{path} can be read by others: chmod 600 it", field=path.name)
        return path.read_bytes()
    except OSError as error:
        raise FleetError("invalid", f"{path} cannot be read: {error.strerror}", field=path.name) from error
