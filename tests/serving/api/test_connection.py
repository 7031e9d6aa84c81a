"""HTTP connections at the level of bytes: what clients other than the usual libraries send."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

import pytest

from feature_checks.bundle import Bundle
from serving.api.connection import close_slow_connections
from serving.inference.engine import FakeEngine
from serving.telemetry import metrics
from tests.support.live_server import LiveServer, live
from tests.support.waiting import eventually, until

BODY = json.dumps({"instances": ["It is good."]}).encode()
PREDICT = b"POST /v1/models/sentiment:predict HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%s" % (len(BODY), BODY)


@contextmanager
def connection(server: LiveServer) -> Iterator[tuple[socket.socket, BinaryIO]]:
    address = urlsplit(server.http)
    with socket.create_connection((str(address.hostname), int(address.port or 0)), timeout=10) as opened:
        yield opened, opened.makefile("rb")


def head(stream: BinaryIO) -> tuple[bytes, dict[bytes, bytes]]:
    """The status line and the headers of the next reply."""
    status = stream.readline().rstrip(b"\r\n")
    lines = iter(lambda: stream.readline().rstrip(b"\r\n"), b"")
    return status, dict(line.split(b": ", 1) for line in lines)


def reply(stream: BinaryIO) -> tuple[bytes, dict[bytes, bytes], bytes]:
    status, headers = head(stream)
    return status, headers, stream.read(int(headers[b"content-length"]))


def test_a_reply_has_each_header_once_and_the_length_of_its_body(server: LiveServer) -> None:
    with connection(server) as (client, stream):
        client.sendall(PREDICT)
        lines = list(iter(lambda: stream.readline().rstrip(b"\r\n"), b""))
    assert lines[0] == b"HTTP/1.1 200 OK"
    names = [line.split(b": ")[0] for line in lines[1:]]
    assert len(set(names)) == len(names)
    assert {b"date", b"content-type", b"content-length", b"x-request-id", b"x-model-version"} <= set(names)


def test_pipelined_requests_are_answered_in_order(server: LiveServer) -> None:
    with connection(server) as (client, stream):
        client.sendall(PREDICT + b"GET /v2/health/live HTTP/1.1\r\nhost: x\r\n\r\n" + PREDICT)
        first, second, third = reply(stream), reply(stream), reply(stream)
    assert b"predictions" in first[2]
    assert json.loads(second[2]) == {"live": True}
    assert b"predictions" in third[2]
    assert len({headers[b"x-request-id"] for _, headers, _ in (first, second, third)}) == 3


def test_head_has_the_headers_of_get_and_no_body(server: LiveServer) -> None:
    with connection(server) as (client, stream):
        client.sendall(b"HEAD /v2/models/sentiment HTTP/1.1\r\nhost: x\r\n\r\n")
        status, headers = head(stream)
        client.sendall(b"GET /v2/models/sentiment HTTP/1.1\r\nhost: x\r\n\r\n")
        same, others, body = reply(stream)
    assert status == same == b"HTTP/1.1 200 OK"
    assert headers[b"content-length"] == others[b"content-length"] == b"%d" % len(body)


@pytest.mark.parametrize(
    "request_line", [b"GET /v2/health/live HTTP/1.0\r\n", b"GET /v2/health/live HTTP/1.1\r\nconnection: close\r\n"]
)
def test_a_connection_that_the_client_means_to_end_is_closed(server: LiveServer, request_line: bytes) -> None:
    with connection(server) as (client, stream):
        client.sendall(request_line + b"host: x\r\n\r\n")
        _, headers, body = reply(stream)
        assert stream.read() == b""
    assert headers[b"connection"] == b"close"
    assert json.loads(body) == {"live": True}


def test_a_body_is_asked_for_when_the_client_waits_to_be_asked(server: LiveServer) -> None:
    request, _, body = PREDICT.partition(b"\r\n\r\n")
    with connection(server) as (client, stream):
        client.sendall(request + b"\r\nexpect: 100-continue\r\n\r\n")
        assert stream.readline() == b"HTTP/1.1 100 Continue\r\n"
        assert stream.readline() == b"\r\n"
        client.sendall(body)
        assert b"predictions" in reply(stream)[2]


def test_a_body_in_pieces_is_one_request(server: LiveServer) -> None:
    with connection(server) as (client, stream):
        for start in range(0, len(PREDICT), 20):
            client.sendall(PREDICT[start : start + 20])
        assert reply(stream)[0] == b"HTTP/1.1 200 OK"


def test_metrics_share_the_connection_with_our_routes(server: LiveServer) -> None:
    with connection(server) as (client, stream):
        client.sendall(PREDICT)
        assert b"predictions" in reply(stream)[2]
        client.sendall(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        assert b"sentiment_requests_total" in stream.read()


def test_a_connection_accepted_before_the_end_has_its_request_answered(tmp_path: Path, tiny_bundle: Bundle) -> None:
    with live(tmp_path, MODEL_URI=str(tiny_bundle.folder), PREDICTION_LOG="off") as server:
        with connection(server) as (client, stream):
            assert server.status("/v2/health/live") == 200  # by now the connection before it is accepted too
            server.process.terminate()
            until(lambda: server.status("/v2/health/live") is None)
            client.sendall(PREDICT)
            status, headers, _ = reply(stream)
        assert server.process.wait(timeout=30) == 0
    assert (status, headers[b"connection"]) == (b"HTTP/1.1 200 OK", b"close")


@pytest.mark.parametrize("missing", [0, 5])
async def test_a_client_that_leaves_is_not_waited_for(make_wire: Callable[..., Any], missing: int) -> None:
    wire = await make_wire(engine=FakeEngine(seconds_per_token=0.2))
    model = wire.predictor.current
    left = metrics.REQUESTS.series("v1", "499", "" if missing else model.version)
    before = left.value
    _, writer = await asyncio.open_connection(*wire.address)
    writer.write(PREDICT[: len(PREDICT) - missing])
    await eventually(lambda: wire.state.tasks if missing else model.in_flight)
    (answering,) = wire.state.tasks
    writer.close()
    await eventually(answering.done)
    assert model.in_flight == 0
    assert left.value == before + 1


async def test_a_body_that_never_ends_is_504_and_the_connection_closed(make_wire: Callable[..., Any]) -> None:
    wire = await make_wire(request_timeout_seconds=0.2, header_timeout_seconds=0.5)
    guard = asyncio.create_task(close_slow_connections(wire.state.connections, wire.settings))
    async with asyncio.timeout(10):
        reader, writer = await asyncio.open_connection(*wire.address)
        writer.write(PREDICT[:-5])
        answer = await reader.read()
        writer.close()
    guard.cancel()
    assert answer.startswith(b"HTTP/1.1 504 ")
    assert b"deadline" in answer
