"""Turns answered requests and labels into lines of the prediction log."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, NamedTuple

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
    """The facts about one answered request that the log needs."""

    request_id: str
    time: float
    """The time of the answer in seconds since the epoch."""
    texts: Sequence[str]
    probabilities: NDArray[np.float32]
    """The probabilities, n x 3 in contract order."""
    cached: Sequence[bool]
    """For each text, whether it was answered from the cache."""
    model_version: str
    latency_seconds: float
    protocol: str
    user: str


class Lines(NamedTuple):
    """Whole lines of one segment."""

    kind: Kind
    hour: str
    """The hour of the segment, YYYY-MM-DDTHH in UTC."""
    content: bytes
    number: int
    """The number of lines."""


_LINE: Final = '{"request_id":"%s","item":%d,"timestamp":"%s",%s"latency_ms":%.3f,'
"""The beginning of a PredictionRecord as JSON. Filling it in takes half the time of dumping a dictionary, and the log
was a fifth of the cost of a cached answer."""
_RESULT: Final = (
    '"text":%s,"length":%d,"words":%d,"non_letters":%.6f,'
    '"label":"%s","confidence":%.6f,"probabilities":[%.6f,%.6f,%.6f],'
)
"""The part of it that a text and its probabilities determine."""
_REPEATED_CHARS: Final = 500
"""The results of texts up to this length are kept, because short texts repeat. All kept ones take a few megabytes."""


class LineMaker:
    """Makes lines in which texts and users are kept, hashed or left out. Any thread may call it."""

    def __init__(self, text_policy: TextPolicy, key: bytes) -> None:
        """`key` is the key of every hash."""
        self._text_policy = text_policy
        self._key = key
        self._kept_result: Callable[[str, tuple[float, ...]], str] = lru_cache(maxsize=4096)(self._result)
        self._ending: Callable[[str, bool, str, str], bytes] = lru_cache(maxsize=4096)(self._make_ending)

    def predictions(self, answered: AnsweredRequest) -> Lines:
        """Return one line, a PredictionRecord, for each text of an answered request."""
        timestamp = _timestamp(answered.time)
        request_id, latency_ms = answered.request_id, 1000 * answered.latency_seconds
        lines = []
        for item, (text, row) in enumerate(zip(answered.texts, answered.probabilities.tolist(), strict=True)):
            make = self._kept_result if len(text) <= _REPEATED_CHARS else self._result
            start = _LINE % (request_id, item, timestamp, make(text, tuple(row)), latency_ms)
            ending = self._ending(answered.model_version, answered.cached[item], answered.protocol, answered.user)
            lines.append(start.encode() + ending)
        return Lines(PREDICTIONS, timestamp[:13], b"".join(lines), len(lines))

    def feedback(self, record: FeedbackRecord, user: str) -> Lines:
        """Return the line of one label that `user` gave."""
        record = replace(record, user_hash=keyed_hash(user, self._key) if user else "")
        return Lines(FEEDBACK, record.timestamp[:13], orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE), 1)

    def _result(self, text: str, row: tuple[float, ...]) -> str:
        confidence = max(row)
        label = LABELS[row.index(confidence)]
        stored = orjson.dumps(stored_text(text, self._text_policy, self._key)).decode()
        return _RESULT % (stored, *describe(text), label, confidence, *row)

    def _make_ending(self, model_version: str, cached: bool, protocol: str, user: str) -> bytes:
        user_hash = keyed_hash(user, self._key) if user else ""
        members = {"model_version": model_version, "cached": cached, "protocol": protocol, "user_hash": user_hash}
        return orjson.dumps(members, option=orjson.OPT_APPEND_NEWLINE)[1:]


def _timestamp(seconds: float) -> str:
    """Return ISO 8601 in UTC to the millisecond."""
    whole = int(seconds)
    return f"{_second(whole)}.{int(1000 * (seconds - whole)):03d}+00:00"


@lru_cache(maxsize=16)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
