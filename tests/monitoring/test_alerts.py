"""Alerts: posted to a real HTTP server, tried again where that can help."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from monitoring import alerts
from monitoring.alerts import AlertError
from monitoring.policy import Decision

DECISION = Decision("RETRAIN", ("drift in w1", "2 of 3"), ("w0", "w1"), "2026-11-22T12:00:00+00:00")


class Receiver(ThreadingHTTPServer):
    """Answers with the given statuses in turn, then 200; keeps the bodies."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.statuses: list[int] = []
        self.bodies: list[Any] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/hook"


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.bodies.append(json.loads(body))
        self.send_response(self.server.statuses.pop(0) if self.server.statuses else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_slack_gets_a_text(receiver: Receiver) -> None:
    alerts.send(receiver.url, DECISION, "slack", "http://reports/w1")
    (body,) = receiver.bodies
    assert body == {"text": "*review-sentiment: RETRAIN*\n• drift in w1\n• 2 of 3\nhttp://reports/w1"}


def test_alertmanager_gets_an_alert_whose_labels_identify_it(receiver: Receiver) -> None:
    alerts.send(receiver.url, DECISION, "alertmanager", "http://reports/w1")
    (((alert),),) = receiver.bodies
    assert alert["labels"] == {"alertname": "ReviewSentimentDrift", "action": "RETRAIN", "severity": "warning"}
    assert alert["annotations"]["description"] == "drift in w1\n2 of 3"
    assert (alert["startsAt"], alert["generatorURL"]) == (DECISION.decided_at, "http://reports/w1")


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_receiver_that_is_busy_is_asked_again(receiver: Receiver, status: int) -> None:
    receiver.statuses = [status, status]
    alerts.send(receiver.url, DECISION)
    assert len(receiver.bodies) == 3


def test_a_receiver_that_refuses_is_not_asked_again(receiver: Receiver) -> None:
    receiver.statuses = [404]
    with pytest.raises(AlertError, match=r"127\.0\.0\.1 answered 404"):
        alerts.send(receiver.url, DECISION)
    assert len(receiver.bodies) == 1


def test_a_receiver_that_stays_down_is_an_error(receiver: Receiver) -> None:
    receiver.statuses = [503] * alerts.ATTEMPTS
    with pytest.raises(AlertError, match=r"127\.0\.0\.1 answered 503"):
        alerts.send(receiver.url, DECISION)
    assert len(receiver.bodies) == alerts.ATTEMPTS


def test_a_receiver_that_is_not_there_is_an_error_that_keeps_the_secret() -> None:
    with pytest.raises(AlertError, match="could not be reached") as caught:
        alerts.send("http://127.0.0.1:9/services/SECRET", DECISION)
    assert "SECRET" not in str(caught.value)
