"""CRC-16/MODBUS, bit by bit: polynomial A001 reflected, start FFFF. Written apart from the agent's on purpose."""

from __future__ import annotations


def crc16(data: bytes) -> bytes:
    """The two check bytes that follow `data` on the wire, low byte first."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ 0xA001 if crc & 1 else crc >> 1
    return crc.to_bytes(2, "little")
