"""The body of a feedback request is parsed to a typed record or refused with a typed error."""

from __future__ import annotations

import pytest

from serving.errors import RequestError
from serving.protocol.feedback import parse_feedback


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "body: not valid JSON"),
        (b"[1]", "body: found a list; expected a JSON object"),
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
        parse_feedback(body)
    assert caught.value.status == 400


def test_the_item_is_the_first_unless_given() -> None:
    assert parse_feedback(b'{"request_id": "a", "label": "neutral"}').item == 0
    record = parse_feedback(b'{"request_id": "a", "item": 2, "label": "positive"}')
    assert (record.request_id, record.item, record.label) == ("a", 2, "positive")
