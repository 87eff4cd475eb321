"""What nobody sends by accident: values that were made to break something, and bodies that are none."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

# In the place of any value of a body. NUL and lone surrogates are text to JSON and to no database.
VALUES: tuple[Any, ...] = (
    "' OR '1'='1' --",
    '"; DROP TABLE users; --',
    "%' ESCAPE '!' _%\\",
    "../../../../etc/passwd",
    "<script>alert(1)</script>{{7*7}}${7*7}",
    "\x00",
    "a\x00b",
    "\ud800",
    "\u202e\u0000\ufeff\U0001f6b0",
    "9" * 5_000,
    "x" * 70_000,
    -1,
    0,
    1.5,
    2**31,
    2**63,
    10**40,
    1e308,
    True,
    None,
    "",
    [],
    {},
    [None],
    [[[[]]]],
    {"$ne": None},
    {"": {"": ""}},
)

# Numbers that JSON does not have, or that do not fit anywhere; as text, because no honest encoder writes them.
RAW_VALUES = ("NaN", "Infinity", "-Infinity", "1e999999", "-0.0", "9" * 6_000, "0.1e-400", '"\\ud800"', '"\\u0000"')

_DEEP = 100_000

# Bodies, each with its content type.
BODIES: tuple[tuple[str, bytes, str], ...] = (
    ("nothing", b"", "application/json"),
    ("half a brace", b"{", "application/json"),
    ("null", b"null", "application/json"),
    ("an array", b"[]", "application/json"),
    ("a text", b'"text"', "application/json"),
    ("a number", b"1", "application/json"),
    ("bad UTF-8", b'{"a": "\xff\xfe"}', "application/json"),
    ("UTF-16", '{"a": 1}'.encode("utf-16"), "application/json"),
    ("deep arrays", b"[" * _DEEP + b"]" * _DEEP, "application/json"),
    ("deep objects", b'{"a":' * _DEEP + b"1" + b"}" * _DEEP, "application/json"),
    ("a comment", b'{"a": 1 // one\n}', "application/json"),
    ("a trailing comma", b'{"a": 1,}', "application/json"),
    ("more than fits", b'{"a": "' + b"x" * 1_100_000 + b'"}', "application/json"),
    ("no content type", b'{"a": 1}', ""),
    ("a content type that is none", b'{"a": 1}', "nonsense;;;=\x01"),
    ("XML", b"<a>1</a>", "application/xml"),
    ("plain text", b"a=1", "text/plain"),
    ("a charset that is none", b'{"a": 1}', "application/json; charset=klingon"),
    ("a form of bad bytes", b"a=%ff%fe%00&b=%zz&&&==", "application/x-www-form-urlencoded"),
    ("a form of many fields", b"&".join(b"a%d=1" % n for n in range(20_000)), "application/x-www-form-urlencoded"),
    ("multipart without a boundary", b"--x\r\n\r\n1\r\n--x--", "multipart/form-data"),
    (
        "multipart that does not end",
        b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\n1",
        "multipart/form-data; boundary=x",
    ),
    (
        "multipart with a file in the place of a value",
        b'--x\r\nContent-Disposition: form-data; name="vendor_id"; filename="a"\r\n\r\n1\r\n--x--\r\n',
        "multipart/form-data; boundary=x",
    ),
)


def spoilt(body: Mapping[str, Any]) -> Iterator[str]:
    """`body` as JSON text, each time with one of its values replaced, one left out, or one key written twice."""
    for place in _places(body):
        for value in VALUES:
            yield json.dumps(_put(body, place, value))
        for raw in RAW_VALUES:
            yield json.dumps(_put(body, place, "@here@")).replace('"@here@"', raw)
    for name in body:
        yield json.dumps({other: value for other, value in body.items() if other != name})
        twice = json.dumps({"@once@": body[name], **body})
        yield twice.replace("@once@", name)


def _places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if place:
        yield place
    parts = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for name, part in parts:
        yield from _places(part, (*place, name))


def _put(value: Any, place: tuple[Any, ...], put: Any) -> Any:
    if not place:
        return put
    first, *rest = place
    if isinstance(value, Mapping):
        return {name: _put(part, tuple(rest), put) if name == first else part for name, part in value.items()}
    return [_put(part, tuple(rest), put) if at == first else part for at, part in enumerate(value)]
