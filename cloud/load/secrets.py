"""Columns that are read and never written in the clear, and what of them `dump --hashes` writes. Pure.

A hash or a seal is worth something only under the server secret with which it was made.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from cloud.limits import SECRET_CHARS_MAX
from cloud.load.columns import WRITABLE

SECRET = {"writeOnly": True}

Md5 = Annotated[str, Meta(pattern=r"^[0-9a-fA-F]{32}$(?!\n)")]
Hash = Annotated[str, Meta(pattern=r"^\$argon2id\$[!-~]{20,400}$(?!\n)")]
Secret = Annotated[str, Meta(min_length=1, max_length=SECRET_CHARS_MAX, pattern=WRITABLE)]
# Base64 of a nonce, such a secret and its tag.
Sealed = Annotated[str, Meta(pattern=r"^[A-Za-z0-9+/]{40,4000}={0,2}$(?!\n)")]
