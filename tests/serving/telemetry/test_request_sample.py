"""A share of the answered requests leaves one line each, at a bounded rate."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest

from serving.telemetry.failure_log import FailureLog
from serving.telemetry.request_sample import LINES_PER_SECOND, RequestSample
from tests.support.wire import Wire


@pytest.fixture(autouse=True)
def level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "serving.telemetry.request_sample")


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """The lines logged so far."""
    messages = [record.getMessage() for record in caplog.records if record.name == "serving.telemetry.request_sample"]
    return [json.loads(message.removeprefix("request answered ")) for message in messages]


async def test_every_fourth_request_leaves_a_line(
    make_wire: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    wire: Wire = await make_wire(log_sample=0.25, rate_limit="100/minute")
    headers = {"x-request-id": "the client's own", "x-user-id": "ann"}
    for number in range(9):
        content = {"instances": ["good", f"good {number}"]}
        reply = await wire.client.post("/v1/models/sentiment:predict", json=content, headers=headers)
        if number == 3:
            expected = reply.headers["x-request-id"]
    first, second = lines(caplog)
    assert (first["request_id"], first["client_request_id"]) == (expected, "the client's own")
    assert (first["protocol"], first["texts"], first["cached"], first["model_version"]) == ("v1", 2, 1, "3")
    assert set(first["ms"]) == {"parse", "score", "reply"}
    assert first["user_hash"] == second["user_hash"] != ""
    assert "good" not in caplog.text
    assert "ann" not in first["user_hash"]


async def test_it_can_be_turned_off(make_wire: Callable[..., Any], caplog: pytest.LogCaptureFixture) -> None:
    wire: Wire = await make_wire(log_sample=0)
    await wire.infer()
    assert lines(caplog) == []


def test_a_flood_leaves_few_lines(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("serving.telemetry.request_sample.time.monotonic", lambda: now)
    sample = RequestSample(1, FailureLog(wire.settings))
    assert sum(sample.due() for _ in range(1000)) == LINES_PER_SECOND
    now += 1
    assert sample.due()
