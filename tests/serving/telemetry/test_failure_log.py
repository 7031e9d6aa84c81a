"""Each failed request leaves one structured line, which holds no credentials, and a flood of failures leaves few."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest

from serving.inference.engine import FakeEngine
from serving.telemetry.failure_log import LINES_PER_SECOND, FailureLog, RedactingFormatter
from tests.support.wire import Wire


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """The structured lines logged so far."""
    messages = [record.getMessage() for record in caplog.records if record.name == "serving.telemetry.failure_log"]
    return [json.loads(message.removeprefix("request failed ")) for message in messages]


async def test_a_failed_request_leaves_one_line(
    make_wire: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    wire: Wire = await make_wire(rate_limit="100/minute")
    headers = {"x-request-id": "the client's own", "x-user-id": "ann"}
    reply = await wire.client.post("/v1/models/sentiment:predict", content=b"{", headers=headers)
    (line,) = lines(caplog)
    assert line["request_id"] == reply.headers["x-request-id"]
    assert (line["client_request_id"], line["status"]) == ("the client's own", "400")
    assert line["route"] == "POST /v1/models/sentiment:predict"
    assert line["error"] == reply.json()["error"]
    assert line["ms"] > 0
    assert line["user_hash"]
    assert "ann" not in line["user_hash"]


async def test_a_failure_of_the_engine_has_its_details_in_the_line(
    make_wire: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(FakeEngine):
        def encode(self, texts: Any) -> Any:
            if "break" in texts:
                raise ZeroDivisionError
            return super().encode(texts)

    wire: Wire = await make_wire(engine=Broken())
    await wire.infer_tensor(data=["break"])
    (line,) = lines(caplog)
    assert line["status"] == "500"
    assert "ZeroDivisionError" in line["error"]


async def test_answered_requests_and_failing_probes_leave_none(
    make_wire: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    wire: Wire = await make_wire()
    await wire.infer()
    wire.predictor.begin_drain()
    assert (await wire.client.get("/v2/health/ready")).status_code == 503
    assert lines(caplog) == []


async def test_a_flood_of_failures_leaves_few_lines_and_a_count(
    wire: Wire, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr("serving.telemetry.failure_log.time.monotonic", lambda: now)
    failures = FailureLog(wire.settings)
    failed = {"client_id": "", "route": "GET /", "status": "400", "error": "x", "user": "", "seconds": 0.0}
    for number in range(1000):
        failures.record(request_id=str(number), **failed)  # type: ignore[arg-type]
    assert len(lines(caplog)) == LINES_PER_SECOND
    now += 1
    failures.record(request_id="last", **failed)  # type: ignore[arg-type]
    assert lines(caplog)[-1]["suppressed"] == 1000 - LINES_PER_SECOND


def test_tracebacks_are_without_credentials_too() -> None:
    try:
        raise ConnectionError("no answer from http://ann:secret@registry")
    except ConnectionError as error:
        record = logging.LogRecord("x", logging.ERROR, "", 0, "failed", None, (type(error), error, error.__traceback__))
    formatted = RedactingFormatter().format(record)
    assert "secret" not in formatted
    assert "http://***@registry" in formatted
