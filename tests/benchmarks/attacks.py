"""Twelve bad neighbours: each sends the worst that its kind of body or connection can, until it is told to stop.

python -m tests.benchmarks.attacks NAME HTTP_PORT GRPC_PORT SECONDS     # prints how often it was answered with what
"""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import sys
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import uvloop

from tests.support.raw_grpc import RawGrpc

MEBIBYTE: Final = 1024**2
BODY: Final = 16 * MEBIBYTE
_PREDICT: Final = b"POST /v1/models/sentiment:predict HTTP/1.1\r\nhost: x\r\nx-user-id: attacker\r\n"
_INFER: Final = "/inference.GRPCInferenceService/ModelInfer"
_NICENESS: Final = 10
"""An attacker would not run on the server's own cores."""


class Attacker:
    """Connections to one server, and what came of them."""

    def __init__(self, http_port: int, grpc_port: int) -> None:
        self.http_port = http_port
        self.grpc_port = grpc_port
        self.outcomes: Counter[str] = Counter()

    async def post(self, body: bytes, *headers: bytes) -> None:
        """Send one request on a connection of its own and read the head of the reply."""
        head = _PREDICT + b"".join(header + b"\r\n" for header in headers)
        await self.exchange(head + b"content-length: %d\r\n\r\n" % len(body) + body)

    async def exchange(self, content: bytes) -> None:
        """Send bytes, and count the status of the first reply."""
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.http_port)
        except OSError:
            self.outcomes["refused"] += 1
            await asyncio.sleep(0.05)
            return
        try:
            writer.write(content)
            async with asyncio.timeout(60):
                line = await reader.readline()
            self.outcomes[line[9:12].decode() or "closed"] += 1
        except (OSError, TimeoutError):
            self.outcomes["closed"] += 1
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def hold(self, *pieces: bytes, pause: float = 0.0) -> None:
        """Send pieces with pauses between them, then wait until the server closes the connection."""
        writer = None
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.http_port)
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(pause)
            await reader.read()
            self.outcomes["closed"] += 1
        except OSError:
            self.outcomes["closed"] += 1
            await asyncio.sleep(0.05)
        finally:
            if writer is not None:
                writer.close()


async def _repeat(number: int, act: Callable[[], Awaitable[None]]) -> None:
    async def again() -> None:
        while True:
            await act()
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(number):
            tasks.create_task(again())


async def combining_marks(it: Attacker) -> None:
    """16 MiB of texts that are one run of combining marks each, in 17 kB of gzip."""
    texts = ["a" + "\u0301\u0316" * 9_999] * 418
    body = gzip.compress(json.dumps({"instances": texts}, ensure_ascii=False).encode())
    await _repeat(4, lambda: it.post(body, b"content-encoding: gzip"))


async def decompression(it: Attacker) -> None:
    """16 kB that become 16 MiB, again and again."""
    stream = zlib.compressobj(9, zlib.DEFLATED, 31)
    body = stream.compress(b'{"instances": ["' + b"a" * (BODY - 100) + b'"]}') + stream.flush()
    await _repeat(8, lambda: it.post(body, b"content-encoding: gzip"))


async def empty_lists(it: Attacker) -> None:
    """16 MiB of JSON in which every third byte is another value."""
    body = b'{"instances": [' + b"[]," * ((BODY - 100) // 3) + b"[]]}"
    await _repeat(4, lambda: it.post(body))


async def long_reviews(it: Attacker) -> None:
    """Requests of 10,000 distinct long reviews."""
    number = iter(range(10**9))

    async def send() -> None:
        first = next(number)
        texts = [f"{first} {index} " + "it is good or bad " * 80 for index in range(10_000)]
        await it.post(json.dumps({"instances": texts}).encode())

    await _repeat(2, send)


async def wide_texts(it: Attacker) -> None:
    """16 MiB of texts that one emoji each makes four times as large in memory."""
    texts = ["a" * 19_900 + "\U0001f600"] * 830
    body = json.dumps({"instances": texts}, ensure_ascii=False).encode()
    await _repeat(8, lambda: it.post(body))


async def held_uploads(it: Attacker) -> None:
    """64 bodies that stop just short of 16 MiB."""
    head = _PREDICT + b"content-length: %d\r\n\r\n" % BODY
    await _repeat(64, lambda: it.hold(head, b"a" * (BODY - 1)))


async def endless_headers(it: Attacker) -> None:
    """Headers without end."""
    header = b"x-a: " + b"a" * 1_000 + b"\r\n"
    await _repeat(16, lambda: it.hold(_PREDICT, *[header * 64] * 10_000))


async def pipelined(it: Attacker) -> None:
    """As many requests as fit into what is sent at once."""
    await _repeat(16, lambda: it.exchange(b"GET /v2 HTTP/1.1\r\n\r\n" * 50_000))


async def never_reading(it: Attacker) -> None:
    """Clients that ask for large replies and read none of them."""
    await _repeat(64, lambda: it.hold(*[b"GET /docs HTTP/1.1\r\nhost: x\r\n\r\n" * 100] * 10_000))


async def slow_connections(it: Attacker) -> None:
    """2,000 connections that are silent, or send a byte of their headers now and then."""
    dripped = [bytes([byte]) for byte in _PREDICT]
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_repeat(1_000, it.hold))
        tasks.create_task(_repeat(1_000, lambda: it.hold(*dripped, pause=0.5)))


async def protobuf_values(it: Attacker) -> None:
    """Messages over gRPC of eight million empty tensors."""
    message = b"\x0a\x09sentiment" + b"\x2a\x00" * ((BODY - 100) // 2)

    async def send() -> None:
        client = await RawGrpc.open("127.0.0.1", it.grpc_port)
        await client.begin(_INFER, len(message), message)
        async with asyncio.timeout(60):
            await client.ended.wait()
        it.outcomes["ended"] += 1
        await client.close()

    await _repeat(4, send)


async def half_messages(it: Attacker) -> None:
    """64 gRPC messages that stop just short of 16 MiB."""

    async def send() -> None:
        client = await RawGrpc.open("127.0.0.1", it.grpc_port)
        await client.begin(_INFER, BODY, b"\x0a" * (BODY - 1))
        await client.ended.wait()
        it.outcomes["ended"] += 1
        await client.close()

    await _repeat(64, send)


ATTACKS: Final = {
    attack.__name__.replace("_", " "): attack
    for attack in (
        *(combining_marks, decompression, empty_lists, long_reviews, wide_texts, held_uploads, endless_headers),
        *(pipelined, never_reading, slow_connections, protobuf_values, half_messages),
    )
}


async def main(name: str, http_port: int, grpc_port: int, seconds: float) -> None:
    """Attack for some seconds."""
    it = Attacker(http_port, grpc_port)
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await ATTACKS[name](it)
    json.dump(it.outcomes, sys.stdout)


if __name__ == "__main__":
    os.nice(_NICENESS)
    uvloop.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])))
