"""Sends decisions to a webhook, in the format of Slack or of Alertmanager, with retries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import httpx
from tenacity import retry, retry_if_exception, stop_after_attempt, wait_exponential_jitter

from monitoring.policy import Decision

ATTEMPTS: Final = 4
TIMEOUT_SECONDS: Final = 10.0


class AlertError(RuntimeError):
    """An alert was not delivered. The message names the host and the reason, but not the path, which is a secret."""


@dataclass(frozen=True)
class Failure:
    """A monitoring run that failed: in watching, in retraining or in the gate."""

    reasons: tuple[str, ...]
    """What failed, one sentence each."""
    decided_at: str
    """When the run ended (UTC, ISO 8601)."""
    action: str = "FAILED"


def send(url: str, decision: Decision | Failure, shape: str = "slack", report_url: str = "") -> None:
    """Post a decision, or a failure, to a webhook.

    Connection errors, 429 and 5xx are retried, up to four attempts in total.

    `shape` is `slack` (an incoming webhook) or `alertmanager` (`POST /api/v2/alerts`). Raises AlertError if the alert
    was not delivered.

    Example: `send("https://hooks.slack.com/services/…", decision, "slack")`.
    """
    if shape not in SHAPES:
        raise AlertError(f"the webhook shape is {shape!r}; expected one of {sorted(SHAPES)}")
    body = SHAPES[shape](decision, report_url)
    try:
        _post(url, body)
    except httpx.HTTPStatusError as error:
        raise AlertError(f"{httpx.URL(url).host} answered {error.response.status_code} to the alert") from None
    except httpx.TransportError as error:
        raise AlertError(f"{httpx.URL(url).host} could not be reached with the alert: {error}") from None


def slack(decision: Decision | Failure, report_url: str) -> dict[str, Any]:
    """Return the message for Slack: https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks."""
    lines = [f"*review-sentiment: {decision.action}*", *(f"• {reason}" for reason in decision.reasons)]
    return {"text": "\n".join([*lines, *([report_url] if report_url else [])])}


def alertmanager(decision: Decision | Failure, report_url: str) -> list[dict[str, Any]]:
    """Return one alert for Alertmanager's API v2. Its labels stay the same over time, so repeats are one alert."""
    alert = {
        "labels": {
            "alertname": "ReviewSentimentMonitoringFailed" if isinstance(decision, Failure) else "ReviewSentimentDrift",
            "action": decision.action,
            "severity": "warning" if decision.action in {"RETRAIN", "FAILED"} else "info",
        },
        "annotations": {"summary": _summary(decision), "description": "\n".join(decision.reasons)},
        "startsAt": decision.decided_at,
    }
    return [alert | ({"generatorURL": report_url} if report_url else {})]


def _summary(decision: Decision | Failure) -> str:
    return "A monitoring run failed" if isinstance(decision, Failure) else f"Drift decision: {decision.action}"


SHAPES: Final[dict[str, Callable[[Any, str], Any]]] = {"slack": slack, "alertmanager": alertmanager}


def _worth_another_try(error: BaseException) -> bool:
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code == httpx.codes.TOO_MANY_REQUESTS or error.response.is_server_error
    return isinstance(error, httpx.TransportError)


@retry(
    retry=retry_if_exception(_worth_another_try),
    stop=stop_after_attempt(ATTEMPTS),
    wait=wait_exponential_jitter(multiplier=0.2, max=10),
    reraise=True,
)
def _post(url: str, body: Any) -> None:
    httpx.post(url, json=body, timeout=TIMEOUT_SECONDS).raise_for_status()
