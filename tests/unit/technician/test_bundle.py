"""Nothing secret leaves in an archive."""

from __future__ import annotations

import pytest

from edge_agent.technician.bundle import HIDDEN, redact
from shared.seal import derive_keys

SECRET = "3a" * 32
KEYS = derive_keys(bytes.fromhex(SECRET))


@pytest.mark.parametrize("secret", [SECRET, SECRET.upper(), KEYS.mqtt_password, KEYS.mac_key.hex()])
def test_keys_are_hidden_wherever_they_stand_and_also_when_they_are_not_known(secret: str) -> None:
    for text in (f"login with {secret} failed", f'{{"a":"{secret}"}}', secret, f"x={secret};y"):
        assert secret not in redact(text)
        assert secret not in redact(text, [SECRET, KEYS.mqtt_password, KEYS.mac_key.hex()])


def test_a_known_secret_is_hidden_inside_other_text_too() -> None:
    assert redact("xxhunter2-longyy", ["hunter2-long"]) == f"xx{HIDDEN}yy"


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("-----BEGIN PRIVATE" + " KEY-----\nabc\ndef\n-----END PRIVATE" + " KEY-----", "abc"),
        ("mqtt://machine:open-sesame@broker:8883", "open-sesame"),
        ("Authorization: Bearer eyJhbGciOi.x.y", "eyJhbGciOi"),
        ("password=open-sesame", "open-sesame"),
        ('"mqtt_password": "open-sesame"', "open-sesame"),
        ("api_key = 'open-sesame'", "open-sesame"),
        ('{"mac":"abcdef0123"}', "abcdef0123"),
    ],
)
def test_what_has_the_shape_of_a_secret_is_hidden(text: str, secret: str) -> None:
    assert secret not in redact(text)
    assert HIDDEN in redact(text)


def test_what_helps_stays() -> None:
    text = "uplink.secret_file = /etc/aisleflow/agent.secret\nepoch ecd32edf74e5064cp3ffa\nmachine lobby-1\n09:12:33"
    assert redact(text) == text
