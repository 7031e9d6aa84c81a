"""True labels that arrive after the answer: one JSON object → one line of the feedback log."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import orjson

from feature_checks.contract import LABELS
from feature_checks.prediction_record import FeedbackRecord
from serving.errors import Overloaded, RequestError
from serving.prediction_log import PredictionLog

FIELDS: Final = ("request_id", "item", "label")
MAX_REQUEST_ID_CHARS: Final = 200


def accept(body: bytes, prediction_log: PredictionLog) -> FeedbackRecord:
    """Write the label in a request body to the log and return what was written.

    Raises RequestError for a malformed body and Overloaded when the log cannot take more.
    """
    record = parse(body)
    if not prediction_log.append_feedback(record):
        raise Overloaded("the feedback was not stored: the log's queue is full; send it again", retry_after=5)
    return record


def parse(body: bytes) -> FeedbackRecord:
    """Return the label in `{"request_id": str, "item": int = 0, "label": str}`; raises RequestError."""
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestError(f"body: not JSON ({error}); expected an object with {list(FIELDS)}") from error
    if not isinstance(content, dict):
        raise RequestError(f"body: found {_kind(content)}; expected an object with {list(FIELDS)}")
    if unknown := sorted(set(content) - set(FIELDS)):
        raise RequestError(f"body: found the unknown fields {unknown}; expected {list(FIELDS)}")
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
        f"request_id: found {_kind(value)}; expected the X-Request-Id of an answer, "
        f"1 to {MAX_REQUEST_ID_CHARS} characters"
    )


def _item(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise RequestError(f"item: found {_kind(value)}; expected the text's index in its request, 0 or more")


def _label(value: object) -> Any:
    if value in LABELS:
        return value
    raise RequestError(f"label: found {_kind(value)}; expected one of {list(LABELS)}")


def _kind(value: object) -> str:
    return "nothing" if value is None else repr(value)[:100]
