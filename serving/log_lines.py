"""Answered requests and labels as the prediction log's lines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from feature_checks.contract import LABELS
from feature_checks.prediction_record import (
    FEEDBACK,
    PREDICTIONS,
    FeedbackRecord,
    Kind,
    TextPolicy,
    describe,
    keyed_hash,
    stored_text,
)


class AnsweredRequest(NamedTuple):
    """What the log needs of one answered request."""

    request_id: str
    time: float
    """Of the answer, seconds since the epoch."""
    texts: Sequence[str]
    probabilities: NDArray[np.float32]
    """n x 3, contract order."""
    cached: Sequence[bool]
    """n: which texts were answered from the cache."""
    model_version: str
    latency_seconds: float
    protocol: str
    user: str


class Lines(NamedTuple):
    """Whole lines of one segment."""

    kind: Kind
    date: str
    """YYYY-MM-DD, UTC."""
    content: bytes
    number: int


class LineMaker:
    """Makes lines, with texts and users kept, hashed or left out. Any thread may call it."""

    def __init__(self, text_policy: TextPolicy, key: bytes) -> None:
        """`key` is that of every hash."""
        self._text_policy = text_policy
        self._key = key
        self._user_hash: Callable[[str], str] = lru_cache(maxsize=4096)(self._hash)

    def predictions(self, answered: AnsweredRequest) -> Lines:
        """Return one line, a PredictionRecord, for each text of an answered request."""
        timestamp = _timestamp(answered.time)
        user_hash, latency_ms = self._user_hash(answered.user), round(1000 * answered.latency_seconds, 3)
        rows = zip(answered.texts, answered.probabilities.tolist(), answered.cached, strict=True)
        lines = []
        for item, (text, row, cached) in enumerate(rows):
            label = row.index(max(row))
            probabilities = (round(row[0], 6), round(row[1], 6), round(row[2], 6))
            length, words, non_letters = describe(text)
            # A dictionary: making and writing a PredictionRecord takes three microseconds more.
            record = {
                "request_id": answered.request_id,
                "item": item,
                "timestamp": timestamp,
                "text": stored_text(text, self._text_policy, self._key),
                "length": length,
                "words": words,
                "non_letters": round(non_letters, 6),
                "label": LABELS[label],
                "confidence": probabilities[label],
                "probabilities": probabilities,
                "model_version": answered.model_version,
                "cached": cached,
                "latency_ms": latency_ms,
                "protocol": answered.protocol,
                "user_hash": user_hash,
            }
            lines.append(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))
        return Lines(PREDICTIONS, timestamp[:10], b"".join(lines), len(lines))

    def feedback(self, record: FeedbackRecord) -> Lines:
        """Return the line of one label."""
        return Lines(FEEDBACK, record.timestamp[:10], orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE), 1)

    def _hash(self, user: str) -> str:
        return keyed_hash(user, self._key) if user else ""


def _timestamp(seconds: float) -> str:
    """Return ISO 8601 in UTC to the millisecond."""
    whole = int(seconds)
    return f"{_second(whole)}.{int(1000 * (seconds - whole)):03d}+00:00"


@lru_cache(maxsize=16)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
