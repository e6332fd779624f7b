"""Frames of the open device protocol: length, MessagePack map, CRC-32."""

from __future__ import annotations

import asyncio
import struct
import zlib
from typing import Any

import msgspec

MAX_PAYLOAD = 1 << 20


class BadFrame(Exception):
    """What came is no frame: the connection has to end."""


def framed(fields: dict[str, Any]) -> bytes:
    """One frame."""
    payload = msgspec.msgpack.encode(fields)
    return struct.pack("<I", len(payload)) + payload + struct.pack("<I", zlib.crc32(payload))


async def next_request(reader: asyncio.StreamReader) -> dict[str, Any]:
    """The next request. Raises BadFrame, IncompleteReadError at the end."""
    (length,) = struct.unpack("<I", await reader.readexactly(4))
    if length > MAX_PAYLOAD:
        raise BadFrame
    data = await reader.readexactly(length + 4)
    payload, (crc,) = data[:-4], struct.unpack("<I", data[-4:])
    if crc != zlib.crc32(payload):
        raise BadFrame
    try:
        request = msgspec.msgpack.decode(payload, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise BadFrame from error
    number = request.get("id")
    if type(number) is not int or not 0 <= number < 1 << 32:
        raise BadFrame
    return request
