"""The fields of a body, whether they came as JSON, as a form or in several parts.

Older clients post forms: a list is `name[]=1&name[]=2` or a repeated name, a nested value is `list[0][goods_num]=5`, as
PHP and jQuery write it. Numbers stay text here; the shapes that are lenient make numbers of them.
"""

from __future__ import annotations

import json
import re
from codecs import BOM_UTF8
from math import isfinite
from typing import Any
from urllib.parse import parse_qsl

from pydantic import BeforeValidator
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

# No documented request has a tenth of them, restocking every aisle of the largest machine included.
FORM_FIELDS_MAX = 4_000
_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
_CHARSET = re.compile(r"charset *= *[\"']?([a-z0-9_-]+)")
# All of them are parts of the last one.
_CHINESE = ("gb2312", "gbk", "gb18030")
_KEY = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
_PART = re.compile(r"\[([^\[\]]*)\]")
# list[3][goods_num] has two.
_NESTED_MAX = 4


async def decoded(request: Request) -> dict[str, Any]:
    """The fields of a request's body; HTTPException 400 or 415 when it cannot be read as any of the three."""
    media_type, _, parameters = request.headers.get("Content-Type", "").lower().partition(";")
    media_type = media_type.strip()
    charset = _charset(parameters)
    body = (await request.body()).removeprefix(BOM_UTF8)
    # Clients that post JSON and forget to say so say by default that it is a form (curl -d, PHP's curl). No field of a
    # form begins with a brace.
    if media_type in _FORMS and not body.lstrip().startswith(b"{"):
        return await _form(request, media_type, body, charset)
    if not body.strip():
        return {}
    if media_type not in ("application/json", "text/json", "text/plain", "", _FORMS[0]):
        raise HTTPException(415, f"Content-Type: {media_type[:60]!r} is neither JSON nor a form")
    try:
        text = body if charset == "utf-8" else body.decode(charset)
        fields = json.loads(text, parse_constant=_no_constant, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, f"the body is not JSON: {str(error)[:100]}") from error
    if not isinstance(fields, dict):
        raise HTTPException(400, f"the body is a JSON {type(fields).__name__}, an object was expected")
    return fields


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _finite(number: str) -> float:
    """A float of JSON; 1e999 is one too, and no number that anybody can reckon with."""
    value = float(number)
    if not isfinite(value):
        raise ValueError(f"{number[:40]} is too large a number")
    return value


def _charset(parameters: str) -> str:
    """The encoding that a Content-Type names: those of Chinese clients, and UTF-8 for everything else."""
    found = _CHARSET.search(parameters)
    return "gb18030" if found is not None and found[1] in _CHINESE else "utf-8"


async def _form(request: Request, media_type: str, body: bytes, charset: str) -> dict[str, Any]:
    pairs = _pairs(body, charset) if media_type == _FORMS[0] else await _parts(request)
    fields: dict[str, Any] = {}
    for key, value in pairs:
        _put(fields, key, value)
    return {name: _listed(value) for name, value in fields.items()}


def _pairs(body: bytes, charset: str) -> list[tuple[str, str]]:
    """The pairs of a plain form. Some clients send text as it is instead of escaped; both are read."""
    try:
        text = body.decode(charset)
        return parse_qsl(
            text, keep_blank_values=True, encoding=charset, errors="strict", max_num_fields=FORM_FIELDS_MAX
        )
    except ValueError as error:
        raise HTTPException(400, f"the body is not a form in {charset}: {str(error)[:100]}") from error


async def _parts(request: Request) -> list[tuple[str, str]]:
    """The pairs of a form in several parts."""
    pairs = []
    for key, value in (await request.form(max_files=0, max_fields=FORM_FIELDS_MAX)).multi_items():
        if isinstance(value, UploadFile):
            raise HTTPException(400, f"{key[:60]}: a file is not expected here")
        pairs.append((key, value))
    return pairs


def _put(fields: dict[str, Any], key: str, value: str) -> None:
    match = _KEY.fullmatch(key)
    parts = _PART.findall(match[2]) if match else []
    if match is None or len(parts) > _NESTED_MAX:
        raise HTTPException(400, f"{key[:60]!r} is not the name of a field")
    at: dict[str, Any] = fields
    for part, below in zip([match[1], *parts], parts, strict=False):
        at = at.setdefault(_name(at, part), {})
        if not isinstance(at, dict):
            raise HTTPException(400, f"{key[:60]!r} is both a value and a list of them: {below!r}")
    last = _name(at, parts[-1] if parts else match[1])
    if last not in at:
        at[last] = value
    elif isinstance(at[last], list):
        at[last].append(value)
    else:
        at[last] = [at[last], value]


def _name(at: dict[str, Any], part: str) -> str:
    """`[]` is the next of a list."""
    return part or str(len(at))


def _listed(value: Any) -> Any:
    """A mapping by 0, 1, 2 ... is a list."""
    if not isinstance(value, dict):
        return value
    inner = {name: _listed(part) for name, part in value.items()}
    return list(inner.values()) if all(name.isdecimal() for name in inner) else inner


def _from_text(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if not value.strip():
        return None
    try:
        return json.loads(value, parse_constant=_no_constant, parse_float=_finite)
    except (ValueError, RecursionError):
        return value


def _one_or_many(value: Any) -> Any:
    value = _from_text(value)
    if isinstance(value, list):
        # `name[]=` is how a form says that there are none.
        return [one for one in value if one not in ("", None)]
    return None if value is None else [value]


# For fields that are lists or objects: in a form they may come as JSON text, and a list of one as the one.
FROM_TEXT = BeforeValidator(_from_text)
ONE_OR_MANY = BeforeValidator(_one_or_many)
