"""CRC-16/MODBUS: polynomial 0x8005 reflected (0xA001), initial value 0xFFFF, sent low byte first.

It detects every error of one, two or three flipped bits, and every burst of up to 16 bits, in frames as short as ours.
"""

from __future__ import annotations

CRC_BYTES = 2

_POLYNOMIAL = 0xA001
_INITIAL = 0xFFFF


def _shifted(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (_POLYNOMIAL if byte & 1 else 0)
    return byte


_TABLE = tuple(_shifted(byte) for byte in range(256))


def crc16(data: bytes | bytearray | memoryview) -> int:
    """The checksum of `data`, 0 to 0xFFFF."""
    crc = _INITIAL
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc


def sealed(body: bytes) -> bytes:
    """`body` with its checksum behind it, ready to be sent."""
    return body + crc16(body).to_bytes(CRC_BYTES, "little")


def is_sealed(frame: bytes | bytearray | memoryview) -> bool:
    """Whether `frame` ends in the checksum of what stands before it."""
    # The checksum of a body followed by its own checksum, low byte first, is zero.
    return len(frame) > CRC_BYTES and crc16(frame) == 0
