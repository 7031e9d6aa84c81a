"""Alerts: posted to a real HTTP server, tried again where that can help."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from monitoring import alerts
from monitoring.alerts import AlertError, Failure
from monitoring.policy import Decision
from monitoring.steps import alert_failure
from tests.support.webhook import Receiver

DECISION = Decision("RETRAIN", ("drift in w1", "2 of 3"), ("w0", "w1"), "2026-11-22T12:00:00+00:00")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver.start() as server:
        yield server


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


@pytest.mark.parametrize("shape", ["slack", "alertmanager"])
def test_a_failed_run_is_an_alert_of_its_own(receiver: Receiver, shape: str) -> None:
    alert_failure("run-7", "monitoring: the step watch failed", receiver.url, shape)
    alert_failure("run-7", "nobody is told", "", shape)
    (body,) = receiver.bodies
    if shape == "slack":
        lines = [
            "*review-sentiment: FAILED*",
            "• the monitoring run run-7 failed",
            "• monitoring: the step watch failed",
        ]
        assert body["text"].splitlines() == lines
    else:
        assert body[0]["labels"]["alertname"] == "ReviewSentimentMonitoringFailed"
        assert body[0]["labels"]["severity"] == "warning"
        assert body[0]["annotations"]["summary"] == "A monitoring run failed"


def test_a_failure_reads_as_a_decision_does() -> None:
    assert alerts.slack(Failure(("why",), "now"), "") == {"text": "*review-sentiment: FAILED*\n• why"}
