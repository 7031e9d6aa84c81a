"""Records, layout and column names of the prediction log, which serving writes and monitoring reads.

    TARGET/date=YYYY-MM-DD/predictions-hour=HH-HOST-UUID.jsonl   one PredictionRecord a line
    TARGET/date=YYYY-MM-DD/feedback-hour=HH-HOST-UUID.jsonl      one FeedbackRecord a line

Dates and hours are UTC: those of the timestamps of every record in the segment. A segment is written by one process
and never changed once closed. The name of a segment of an earlier release has no hour.
"""

from __future__ import annotations

import hashlib
import hmac
import string
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from feature_checks.contract import Label, normalise

TextPolicy = Literal["keep", "hash", "drop"]
Kind = Literal["predictions", "feedback"]
PREDICTIONS: Final[Kind] = "predictions"
FEEDBACK: Final[Kind] = "feedback"
SEGMENT_SUFFIX: Final = ".jsonl"

# Columns of a window of predictions, besides the contract's `text` and `label` (here the predicted one).
LENGTH: Final = "length"
WORDS: Final = "words"
NON_LETTERS: Final = "non_letters"
CONFIDENCE: Final = "confidence"
TRUE_LABEL: Final = "true_label"

_ASCII_LETTERS: Final = string.ascii_letters.encode("ascii")

HASH_PREFIX: Final = "hmac-sha256:"
"""Every hashed text starts with this prefix, so that a reader never takes a hash for a text."""


class Descriptors(NamedTuple):
    """Numbers that describe a text in any language, so that drift can be measured where no text is kept."""

    length: int
    """Number of characters of the normalised text."""
    words: int
    """Number of words separated by white space."""
    non_letters: float
    """Share (0…1) of visible characters that are not letters (Unicode category L)."""


@dataclass(frozen=True, slots=True)
class PredictionRecord:
    """The prediction for one text."""

    request_id: str
    item: int
    """Index of the text in its request."""
    timestamp: str
    """UTC time of the response, ISO 8601."""
    text: str | None
    """The text, its keyed hash (starting with HASH_PREFIX), or None. The setting LOG_TEXT decides which."""
    length: int
    words: int
    non_letters: float
    label: Label
    confidence: float
    probabilities: tuple[float, float, float]
    """One probability for each class, in the order of the contract."""
    latency_ms: float
    """Latency of the whole request."""
    model_version: str
    cached: bool
    protocol: str
    user_hash: str
    """Keyed hash of the user; empty if the user is unknown."""


@dataclass(frozen=True, slots=True)
class FeedbackRecord:
    """The true label of one logged text, given later. If a user labels a text several times, the last label counts."""

    request_id: str
    item: int
    timestamp: str
    label: Label
    user_hash: str = ""
    """Keyed hash of the user who gave the label; empty if the user is unknown."""


def describe(text: str) -> Descriptors:
    """Return the descriptors of a text, after the contract's normalisation."""
    clean = normalise(text)
    # Normalised text has one space between words and none around them.
    words = clean.count(" ") + 1 if clean else 0
    visible = len(clean) - max(0, words - 1)
    return Descriptors(len(clean), words, (visible - _letters(clean)) / visible if visible else 0.0)


def _letters(text: str) -> int:
    if text.isascii():
        return len(text) - len(text.encode("ascii").translate(None, _ASCII_LETTERS))
    return sum(map(str.isalpha, text))


def keyed_hash(value: str, key: bytes) -> str:
    """Return the first 128 bits of HMAC-SHA-256 in hex: equal values get equal hashes."""
    return hmac.new(key, value.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:32]


def stored_text(text: str, policy: TextPolicy, key: bytes) -> str | None:
    """Return the text as the log stores it under a policy: the text, its keyed hash, or None."""
    if policy == "keep":
        return text
    return HASH_PREFIX + keyed_hash(normalise(text), key) if policy == "hash" else None


def segment_path(kind: Kind, hour: str, name: str) -> str:
    """Return a segment's path inside the log's target.

    `hour` is YYYY-MM-DDTHH in UTC, or YYYY-MM-DD for a segment of a whole day. `name` is unique to one segment.

    Example: `segment_path("feedback", "2026-11-22T07", "pod-1")` is `date=2026-11-22/feedback-hour=07-pod-1.jsonl`.
    """
    date, _, of_day = hour.partition("T")
    return f"date={date}/{kind}-{f'hour={of_day}-' if of_day else ''}{name}{SEGMENT_SUFFIX}"
