"""Decisions that need a person → a webhook, in Slack's or Alertmanager's shape, with retries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import httpx
from tenacity import retry, retry_if_exception, stop_after_attempt, wait_exponential_jitter

from monitoring.policy import Decision

ATTEMPTS: Final = 4
TIMEOUT_SECONDS: Final = 10.0


class AlertError(RuntimeError):
    """An alert that was not delivered: to which host, and why. The URL's path is a secret and is not named."""


def send(url: str, decision: Decision, shape: str = "slack", report_url: str = "") -> None:
    """POST a decision to a webhook; connection errors, 429 and 5xx are tried again, four times in all.

    `shape`: Slack's incoming webhook, or Alertmanager's `POST /api/v2/alerts`. Raises AlertError when it failed.
    """
    if shape not in SHAPES:
        raise AlertError(f"the webhook's shape is {shape!r}; expected one of {sorted(SHAPES)}")
    body = SHAPES[shape](decision, report_url)
    try:
        _post(url, body)
    except httpx.HTTPStatusError as error:
        raise AlertError(f"{httpx.URL(url).host} answered {error.response.status_code} to the alert") from None
    except httpx.TransportError as error:
        raise AlertError(f"{httpx.URL(url).host} could not be reached with the alert: {error}") from None


def slack(decision: Decision, report_url: str) -> dict[str, Any]:
    """Return Slack's message: https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks."""
    lines = [f"*review-sentiment: {decision.action}*", *(f"• {reason}" for reason in decision.reasons)]
    return {"text": "\n".join([*lines, *([report_url] if report_url else [])])}


def alertmanager(decision: Decision, report_url: str) -> list[dict[str, Any]]:
    """Return the alerts of Alertmanager's API v2; one alert whose labels stay the same over time."""
    alert = {
        "labels": {
            "alertname": "ReviewSentimentDrift",
            "action": decision.action,
            "severity": "warning" if decision.action == "RETRAIN" else "info",
        },
        "annotations": {"summary": f"Drift decision: {decision.action}", "description": "\n".join(decision.reasons)},
        "startsAt": decision.decided_at,
    }
    return [alert | ({"generatorURL": report_url} if report_url else {})]


SHAPES: Final[dict[str, Callable[[Decision, str], Any]]] = {"slack": slack, "alertmanager": alertmanager}


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
