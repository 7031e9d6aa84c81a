"""Feedback: a label in, a typed record or a typed error out."""

from __future__ import annotations

from pathlib import Path

import pytest

from serving.errors import Overloaded, RequestError
from serving.feedback import accept, parse
from serving.prediction_log import PredictionLog
from serving.settings import Settings


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "body: not JSON"),
        (b"[1]", r"body: found \[1\]; expected an object"),
        (b'{"request_id": "a", "label": "neutral", "text": "t"}', r"unknown fields \['text'\]"),
        (b'{"label": "neutral"}', "request_id: found nothing"),
        (b'{"request_id": 3, "label": "neutral"}', "request_id: found 3"),
        (b'{"request_id": "", "label": "neutral"}', "request_id: found ''"),
        (b'{"request_id": "%s", "label": "neutral"}' % (b"a" * 201), "1 to 200 characters"),
        (b'{"request_id": "a", "item": -1, "label": "neutral"}', "item: found -1"),
        (b'{"request_id": "a", "item": true, "label": "neutral"}', "item: found True"),
        (b'{"request_id": "a"}', "label: found nothing"),
        (b'{"request_id": "a", "label": "good"}', r"expected one of \['negative', 'neutral', 'positive'\]"),
        (b'{"request_id": "a", "label": ["neutral"]}', r"label: found \['neutral'\]"),
    ],
)
def test_a_malformed_body_is_refused_with_the_field_and_what_is_right(body: bytes, message: str) -> None:
    with pytest.raises(RequestError, match=message) as caught:
        parse(body)
    assert caught.value.status == 400


def test_the_item_is_the_first_unless_given() -> None:
    assert parse(b'{"request_id": "a", "label": "neutral"}').item == 0
    record = parse(b'{"request_id": "a", "item": 2, "label": "positive"}')
    assert (record.request_id, record.item, record.label) == ("a", 2, "positive")


def test_what_cannot_be_stored_is_not_acknowledged(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path, prediction_log=str(tmp_path / "log"), log_queue_lines=1)
    full = PredictionLog(settings)
    body = b'{"request_id": "a", "label": "neutral"}'
    assert accept(body, full).request_id == "a"
    with pytest.raises(Overloaded, match="send it again"):
        accept(body, full)
