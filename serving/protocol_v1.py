"""The V1 wire: `{"instances": ["…"] | [{"text": "…"}]}` ↔ `{"predictions": […]}`."""

from __future__ import annotations

from typing import Any

import orjson

from feature_checks.contract import LABELS
from serving.errors import RequestError
from serving.protocol import INPUT, InferRequest, Verdicts, check_count, check_texts, kind, parse_object


def parse_predict(body: bytes, max_texts: int) -> InferRequest:
    """Return the texts of a predict request. Raises RequestError or TooLarge."""
    content = parse_object(body)
    return InferRequest(texts_of(content, max_texts))


def texts_of(content: dict[str, Any], max_texts: int) -> list[str]:
    """Return the texts of a decoded predict request. Raises RequestError or TooLarge."""
    instances = content.get("instances")
    if not isinstance(instances, list):
        found = kind(instances) if "instances" in content else "no such member"
        raise RequestError(f'instances: found {found}; expected a list such as ["…"] or [{{"text": "…"}}]')
    check_count(len(instances), max_texts, "instances")
    texts = [_text_of(instance, index) for index, instance in enumerate(instances)]
    check_texts(texts, "instances")
    return texts


def _text_of(instance: Any, index: int) -> Any:
    if not isinstance(instance, dict):
        return instance
    if INPUT not in instance:
        raise RequestError(f'instances[{index}]: found no member "{INPUT}"; expected {{"{INPUT}": "…"}}')
    return instance[INPUT]


def predictions(verdicts: Verdicts) -> dict[str, Any]:
    """Return the reply's content; its numbers are numpy scalars."""
    negative, neutral, positive = LABELS
    return {
        "predictions": [
            {
                "label": LABELS[label],
                "confidence": row[label],
                "probabilities": {negative: row[0], neutral: row[1], positive: row[2]},
            }
            for label, row in zip(verdicts.labels, verdicts.probabilities, strict=True)
        ]
    }


def predict_reply(verdicts: Verdicts) -> bytes:
    """Return the body of a predict reply."""
    return orjson.dumps(predictions(verdicts), option=orjson.OPT_SERIALIZE_NUMPY)
