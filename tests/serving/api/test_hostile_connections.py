"""Connections that send what no client needs to send: their cost is bounded, and others are answered meanwhile."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from serving.api.connection import HttpProtocol
from tests.support.waiting import eventually
from tests.support.wire import Wire

MEBIBYTE = 1024**2
HEAD = b"POST /v1/models/sentiment:predict HTTP/1.1\r\nhost: x\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n"


@asynccontextmanager
async def connection(wire: Wire) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A client's connection."""
    reader, writer = await asyncio.open_connection(*wire.address)
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def flood(writer: asyncio.StreamWriter, start: bytes, piece: bytes, most: int) -> int:
    """Send `piece` again and again until the server closes the connection; return how many bytes were sent."""
    sent = len(start)
    writer.write(start)
    with suppress(ConnectionError):
        async with asyncio.timeout(20):
            while sent < most and not writer.is_closing():
                writer.write(piece)
                await writer.drain()
                sent += len(piece)
    return sent


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (HEAD, b"x-a: " + b"a" * 1000 + b"\r\n"),
        (HEAD + b"x-a: ", b"a" * 1000),
        (b"GET /", b"a" * 1000),
        (b"GET", b"\r\n" * 500),
        (b"", b"\r\n" * 500),
        (CHUNKED + b"0\r\n", b"x-a: " + b"a" * 1000 + b"\r\n"),
        (CHUNKED + b"0\r\nx-a: ", b"a" * 1000),
        (CHUNKED + b"2;a=", b"a" * 1000),
    ],
    ids=["many", "one", "path", "method", "blank", "trailers", "trailer", "extension"],
)
async def test_headers_and_trailers_without_end_are_refused(wire: Wire, start: bytes, piece: bytes) -> None:
    async with connection(wire) as (_, writer):
        sent = await flood(writer, start, piece, 64 * MEBIBYTE)
    assert sent < 16 * MEBIBYTE  # what the two kernels hold included
    assert (await wire.infer()).status_code == 200


async def test_headers_of_ordinary_length_and_a_body_in_tiny_chunks_are_served(wire: Wire) -> None:
    body = b'{"instances": ["' + b"good " * 3_000 + b'"]}'
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body)
    async with connection(wire) as (reader, writer):
        writer.write(
            HEAD + b"x-a: " + b"a" * 30_000 + b"\r\ntransfer-encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
        )
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")


async def test_a_burst_of_pipelined_requests_is_parsed_piece_by_piece(wire: Wire) -> None:
    """Each is answered in order; few of them exist at a time, and the loop is never held for long."""
    number = 20_000
    longest, waiting = 0.0, 0
    async with connection(wire) as (reader, writer):
        loop = asyncio.get_running_loop()
        writer.write(b"GET /v2 HTTP/1.1\r\n\r\n" * number)
        await eventually(lambda: wire.state.connections)
        served: Any
        (served,) = wire.state.connections
        for _ in range(number):
            began = loop.time()
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 ")
            await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
            longest, waiting = max(longest, loop.time() - began), max(waiting, len(served.pipeline))
    assert 0 < waiting < 1_000


async def test_a_silent_connection_makes_room_before_one_that_has_been_used(make_wire: Callable[..., Any]) -> None:
    wire: Wire = await make_wire(max_connections=4)
    assert (await wire.infer()).status_code == 200
    (used,) = wire.state.connections
    async with connection(wire), connection(wire), connection(wire):
        await eventually(lambda: len(wire.state.connections) == 4)
        for _ in range(3):
            async with connection(wire):
                await asyncio.sleep(0.05)
        assert used in wire.state.connections
        assert not used.transport.is_closing()
        assert (await wire.infer()).status_code == 200


async def test_half_sent_headers_make_room_for_new_connections(
    make_wire: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.api.connection._SLOW_HEAD_SECONDS", 0.1)
    wire: Wire = await make_wire(max_connections=2)
    async with connection(wire) as (_, first), connection(wire) as (_, second):
        for writer in (first, second):
            writer.write(b"POST /v1/mod")
        await eventually(lambda: len(wire.state.connections) == 2)
        await asyncio.sleep(0.2)
        assert (await wire.infer()).status_code == 200


async def test_looking_for_an_idle_connection_does_not_depend_on_their_number(make_wire: Callable[..., Any]) -> None:
    wire: Wire = await make_wire(max_connections=1)
    looked_at = itertools.count()

    class Busy(HttpProtocol):
        def __init__(self) -> None:  # a stand-in that counts how often it is asked
            pass

        def idle(self, now: float) -> bool:
            del now
            next(looked_at)
            return False

        def shutdown(self) -> None:
            pass

    busy = {Busy() for _ in range(5_000)}
    wire.state.connections.update(busy)
    async with connection(wire) as (reader, _):
        assert (await reader.readline()).startswith(b"HTTP/1.1 503 ")
    wire.state.connections.difference_update(busy)
    assert next(looked_at) < 100
