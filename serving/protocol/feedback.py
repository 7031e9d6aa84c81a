"""The body of a feedback request: the true label of a text that was answered earlier."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from feature_checks.contract import LABELS
from feature_checks.prediction_record import FeedbackRecord
from serving.errors import RequestError
from serving.protocol.common import parse_object, quoted

FIELDS: Final = ("request_id", "item", "label")
MAX_REQUEST_ID_CHARS: Final = 200
MAX_FEEDBACK_BYTES: Final = 16 * 1024
"""The longest body of a feedback request."""


def parse_feedback(body: bytes) -> FeedbackRecord:
    """Return the label in `{"request_id": str, "item": int = 0, "label": str}`. Raises RequestError.

    Example: `parse_feedback(b'{"request_id": "0f4e", "label": "neutral"}').item` is 0.
    """
    content = parse_object(body)
    if unknown := sorted(set(content) - set(FIELDS)):
        raise RequestError(f"body: found the unknown fields {quoted(unknown)}; expected {list(FIELDS)}")
    return FeedbackRecord(
        request_id=_request_id(content.get("request_id")),
        item=_item(content.get("item", 0)),
        timestamp=datetime.now(UTC).isoformat(timespec="milliseconds"),
        label=_label(content.get("label")),
    )


def _request_id(value: object) -> str:
    if isinstance(value, str) and 0 < len(value) <= MAX_REQUEST_ID_CHARS:
        return value
    raise RequestError(
        f"request_id: found {_found(value)}; expected the X-Request-Id of a reply, 1 to {MAX_REQUEST_ID_CHARS} "
        "characters"
    )


def _item(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise RequestError(f"item: found {_found(value)}; expected the text's index in its request, 0 or more")


def _label(value: object) -> Any:
    if value in LABELS:
        return value
    raise RequestError(f"label: found {_found(value)}; expected one of {list(LABELS)}")


def _found(value: object) -> str:
    return "nothing" if value is None else quoted(value)
