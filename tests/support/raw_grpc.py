"""A gRPC client that sends as much of a message as it likes: frames of HTTP/2 (RFC 9113), plain headers."""

from __future__ import annotations

import asyncio
import struct
from contextlib import suppress
from typing import Final

_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _WINDOW_UPDATE = 0, 1, 3, 4, 6, 8
_END_STREAM, _END_HEADERS, _ACK = 1, 4, 1
_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_FRAME_BYTES: Final = 16_384


class RawGrpc:
    """One connection with one request on it.

    Example: `client = await RawGrpc.open("127.0.0.1", port)`, then `await client.begin(method, 1000, b"half")`.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._windows = {0: 65_535, 1: 65_535}
        self._more = asyncio.Event()
        self.ended = asyncio.Event()
        """Set when the server has ended the request or the connection."""
        self.received = 0
        """The bytes of the reply's message so far."""
        self._task = asyncio.create_task(self._read())

    @classmethod
    async def open(cls, host: str, port: int) -> RawGrpc:
        """Return a new connection."""
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(_PREFACE + _frame(_SETTINGS, 0, 0, b""))
        return cls(reader, writer)

    async def begin(self, method: str, length: int, content: bytes) -> None:
        """Begin a request whose message has `length` bytes, and send `content` of them."""
        headers = {":method": "POST", ":scheme": "http", ":path": method, ":authority": "x", "te": "trailers",
                   "content-type": "application/grpc"}  # fmt: skip
        block = b"".join(b"\0" + _string(name) + _string(value) for name, value in headers.items())
        self._writer.write(_frame(_HEADERS, _END_HEADERS, 1, block))
        await self.send(struct.pack(">BI", 0, length) + content)

    async def send(self, content: bytes) -> None:
        """Send more of the message, as fast as the server takes it, until the server ends the request."""
        rest = memoryview(content)
        with suppress(ConnectionError):
            while rest and not self.ended.is_set():
                room = min(*self._windows.values(), _FRAME_BYTES, len(rest))
                if room <= 0:
                    self._more.clear()
                    await self._more.wait()
                    continue
                self._writer.write(_frame(_DATA, 0, 1, bytes(rest[:room])))
                self._windows = {stream: window - room for stream, window in self._windows.items()}
                rest = rest[room:]
                await self._writer.drain()

    async def close(self) -> None:
        """Close the connection without ending the request."""
        self._task.cancel()
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()

    async def _read(self) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await self._reader.readexactly(9)
                length, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
                stream, payload = int.from_bytes(head[5:], "big"), await self._reader.readexactly(length)
                self._take(kind, flags, stream, payload)
        self.ended.set()
        self._more.set()

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == _DATA:
            self.received += len(payload)
        elif kind == _WINDOW_UPDATE:
            self._windows[stream] = self._windows.get(stream, 0) + int.from_bytes(payload, "big")
        elif kind == _SETTINGS and not flags & _ACK:
            for number, value in struct.iter_unpack(">HI", payload):
                if number == 4:  # the initial window of a stream
                    self._windows[1] += value - 65_535
            self._writer.write(_frame(_SETTINGS, _ACK, 0, b""))
        elif kind == _PING and not flags & _ACK:
            self._writer.write(_frame(_PING, _ACK, 0, payload))
        elif kind == _RST_STREAM or (kind == _HEADERS and flags & _END_STREAM):
            self.ended.set()
        self._more.set()


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def _string(text: str) -> bytes:
    content = text.encode()
    return bytes([len(content)]) + content
