"""Slow, silent and numerous clients: their connections end, and others are answered."""

from __future__ import annotations

import asyncio
import re
import resource
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from serving.api.connection import close_slow_connections
from serving.server import listening_socket, within_open_files
from serving.settings import Settings
from tests.support.waiting import eventually
from tests.support.wire import Wire

INFER = "/v2/models/sentiment/infer"


async def ended(reader: asyncio.StreamReader) -> bytes:
    """What the server sends until it closes the connection."""
    async with asyncio.timeout(20):
        return await reader.read()


@pytest.mark.parametrize("sent", [b"", b"POST /v1/mod", b"\r\n", b"GET / HTTP/1.1\r\nhost: x\r\nx-a: "])
async def test_a_connection_without_whole_headers_is_closed(make_wire: Callable[..., Any], sent: bytes) -> None:
    wire: Wire = await make_wire(header_timeout_seconds=0.2)
    guard = asyncio.create_task(close_slow_connections(wire.state.connections, wire.settings))
    reader, writer = await asyncio.open_connection(*wire.address)
    writer.write(sent)
    assert await ended(reader) == b""
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()
    guard.cancel()


async def test_a_connection_is_kept_between_requests_and_closed_when_it_stays_idle(
    make_wire: Callable[..., Any],
) -> None:
    wire: Wire = await make_wire(keep_alive_seconds=2, header_timeout_seconds=0.5)
    guard = asyncio.create_task(close_slow_connections(wire.state.connections, wire.settings))
    reader, writer = await asyncio.open_connection(*wire.address)
    started = asyncio.get_running_loop().time()
    for _ in range(4):
        writer.write(b"GET /v2/health/live HTTP/1.1\r\nhost: x\r\n\r\n")
        assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 200 ")
        await asyncio.sleep(0.7)  # longer than a request's headers may take
    assert await ended(reader) == b""
    assert asyncio.get_running_loop().time() - started > 4 * 0.7 + 1
    writer.close()
    guard.cancel()


async def test_a_new_connection_takes_the_place_of_an_idle_one(make_wire: Callable[..., Any]) -> None:
    wire: Wire = await make_wire(max_connections=2)
    idle = [await asyncio.open_connection(*wire.address) for _ in range(2)]
    assert (await wire.infer()).status_code == 200
    done, _ = await asyncio.wait(
        [asyncio.create_task(reader.read()) for reader, _ in idle], timeout=20, return_when=asyncio.FIRST_COMPLETED
    )
    assert len(done) == 1
    for _, writer in idle:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def test_a_connection_too_many_is_refused_where_none_is_idle(make_wire: Callable[..., Any]) -> None:
    wire: Wire = await make_wire(max_connections=1)
    _, writer = await asyncio.open_connection(*wire.address)
    writer.write(b"POST /v1/models/sentiment:predict HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n")
    await eventually(lambda: wire.state.tasks)
    reader, refused = await asyncio.open_connection(*wire.address)
    reply = await ended(reader)
    assert reply.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 1\r\n" in reply
    refused.close()
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


async def test_bodies_beyond_the_budget_are_503_and_the_budget_recovers(make_wire: Callable[..., Any]) -> None:
    wire: Wire = await make_wire(max_bodies_bytes=50_000)
    large = {"data": ["x" * 15_000] * 4, "shape": [4]}
    for _ in range(2):
        reply = await wire.infer_tensor(**large)
        assert (reply.status_code, reply.headers["retry-after"]) == (503, "1")
        assert (await wire.infer_tensor(data=["x" * 15_000] * 2, shape=[2])).status_code == 200


async def test_a_long_body_of_feedback_is_413(make_wire: Callable[..., Any]) -> None:
    wire: Wire = await make_wire(feedback="on")
    content = {"request_id": "x" * 20_000, "label": "neutral"}
    assert (await wire.client.post("/v1/models/sentiment/feedback", json=content)).status_code == 413


def test_connections_leave_files_for_the_server_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = {"found": (1024, 4096), "set": (0, 0)}
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits["found"])
    monkeypatch.setattr(resource, "setrlimit", lambda _, both: limits.update(set=both))
    assert within_open_files(Settings()).max_connections == 4096 - 256
    assert limits["set"] == (4096, 4096)
    assert within_open_files(Settings(max_connections=100)).max_connections == 100


async def test_head_of_metrics_is_served(wire: Wire) -> None:
    reply = await wire.client.head("/metrics")
    assert (reply.status_code, reply.content) == (200, b"")


def test_the_server_listens_on_ipv6_and_ipv4() -> None:
    with listening_socket(0) as listener:
        port = listener.getsockname()[1]
        for host in ["127.0.0.1"] + ["::1"] * socket.has_dualstack_ipv6():
            socket.create_connection((host, port), timeout=5).close()


async def test_a_client_that_never_reads_is_dropped(make_wire: Callable[..., Any]) -> None:
    wire: Wire = await make_wire(write_timeout_seconds=0.2)
    guard = asyncio.create_task(close_slow_connections(wire.state.connections, wire.settings))
    loop = asyncio.get_running_loop()
    requests = b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n" * 50
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        await loop.sock_connect(client, wire.address)
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            async with asyncio.timeout(20):
                while True:
                    await loop.sock_sendall(client, requests)
    guard.cancel()


async def test_pipelined_requests_are_answered_in_order_and_not_read_ahead(make_wire: Callable[..., Any]) -> None:
    wire: Wire = await make_wire()
    reader, writer = await asyncio.open_connection(*wire.address)
    padding = "x" * 1000
    models = [f"model{number}" for number in range(3_000)]
    requests = [f"GET /v2/models/{name} HTTP/1.1\r\nhost: x\r\nx-a: {padding}\r\n\r\n" for name in models]
    writer.write("".join(requests).encode())
    await eventually(lambda: wire.state.connections)
    connection: Any
    (connection,) = wire.state.connections
    waiting = []
    for name in models:
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        assert length is not None
        assert f"'{name}'".encode() in await reader.readexactly(int(length[1]))
        waiting.append(len(connection.pipeline))
    assert 0 < max(waiting) < len(models) / 2
    writer.close()
    await writer.wait_closed()
