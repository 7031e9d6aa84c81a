"""Clocks that jump, clients that vanish, and many idle connections."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from feature_checks.prediction_record import PREDICTIONS
from tests.faults.idle import idle_connections
from tests.faults.live import ask, fake_server, metric, recovery, status
from tests.support.wire import Wire

_DAY = 86_400.0


@pytest.mark.parametrize("jump", [-3600.0, 10 * _DAY])
async def test_a_jump_of_the_clock_moves_log_lines_and_nothing_else(
    make_wire: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, jump: float
) -> None:
    """Deadlines, cache, breaker and rate limit follow the steady clock; only the time of a log line is the day's."""
    log = tmp_path / "log"
    wire: Wire = await make_wire(prediction_log=str(log), rate_limit="4/minute")
    real = time.time
    replies = [await wire.infer() for _ in range(2)]
    monkeypatch.setattr(time, "time", lambda: real() + jump)
    replies += [await wire.infer() for _ in range(3)]
    assert [reply.status_code for reply in replies] == [200] * 4 + [429]
    assert 0 < int(replies[-1].headers["retry-after"]) <= 60
    await wire.predictor.close()
    days = {path.parent.name for path in log.rglob(f"{PREDICTIONS}-*")}
    assert days == {f"date={datetime.fromtimestamp(real() + shift, UTC):%Y-%m-%d}" for shift in (0, jump)}


def test_clients_that_vanish_leave_nothing_behind(tmp_path: Path) -> None:
    body = b'{"instances": [%s]}' % b",".join(b'"word%d"' % number for number in range(500))
    request = b"POST /v1/models/sentiment:predict HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body) + body
    with fake_server(tmp_path, SECONDS_PER_TOKEN="0.0005", PREDICTION_LOG="off") as server:
        assert ask(server) == 200
        process = psutil.Process(server.pid)
        before = process.num_fds()
        for _ in range(200):
            with suppress(OSError), socket.create_connection(("127.0.0.1", server.port)) as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset, not an end
                client.sendall(request)
        assert recovery(lambda: metric(server, "sentiment_queued_texts") == 0, 10) < 10
        assert recovery(lambda: process.num_fds() <= before, 10) < 10
        assert ask(server) == 200


def test_a_thousand_idle_connections_cost_nobody_and_end(tmp_path: Path) -> None:
    """`python -m tests.faults.idle` does the same with 10,000."""
    with fake_server(tmp_path, HEADER_TIMEOUT_SECONDS="3", PREDICTION_LOG="off") as server:
        found = asyncio.run(idle_connections(server, 1_000, 3))
        assert found.statuses == {200: 20}
        assert found.mib < 30
        assert found.seconds_until_closed < 15
        assert status(server, "/v2/health/live") == 200


def test_broken_uploads_leave_no_memory_behind(tmp_path: Path) -> None:
    """Their bodies were kept until the next full garbage collection, and then in the C library."""
    with fake_server(tmp_path, PREDICTION_LOG="off") as server:
        assert ask(server) == 200
        before = server.resident_mib
        head = b"POST /v1/models/sentiment:predict HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % (16 * 1024**2)
        uploads = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(8)]
        for upload in uploads:
            upload.sendall(head + b"a" * (16 * 1024**2 - 1))
        recovery(lambda: server.resident_mib > before + 100, 20)
        for upload in uploads:
            upload.close()
        recovery(lambda: server.resident_mib < before + 30, 20)
