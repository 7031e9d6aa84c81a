"""The prediction log's records and layout: the only thing serving and monitoring share.

    TARGET/date=YYYY-MM-DD/predictions-HOST-UUID.jsonl   one PredictionRecord a line
    TARGET/date=YYYY-MM-DD/feedback-HOST-UUID.jsonl      one FeedbackRecord a line

Dates are UTC. A segment is written by one process and never changed once closed.
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

_ASCII_LETTERS: Final = string.ascii_letters.encode("ascii")

HASH_PREFIX: Final = "hmac-sha256:"
"""How a hashed text starts, so that a reader never takes a hash for a text."""


class Descriptors(NamedTuple):
    """What can be watched about a text without keeping it. The same for every language."""

    length: int
    """Characters of the normalised text."""
    words: int
    """Parts between white space."""
    non_letters: float
    """Share (0…1) of the characters other than white space that are not letters (Unicode category L)."""


@dataclass(frozen=True, slots=True)
class PredictionRecord:
    """One answered text."""

    request_id: str
    item: int
    """Index of the text in its request."""
    timestamp: str
    """UTC time of the answer, ISO 8601."""
    text: str | None
    """The text, its keyed hash (starting with HASH_PREFIX) or None, as LOG_TEXT says."""
    length: int
    words: int
    non_letters: float
    label: Label
    confidence: float
    probabilities: tuple[float, float, float]
    """In contract order."""
    latency_ms: float
    """Of the whole request."""
    model_version: str
    cached: bool
    protocol: str
    user_hash: str
    """Keyed hash of the user; empty where there is none."""


@dataclass(frozen=True, slots=True)
class FeedbackRecord:
    """The true label of one logged text, given afterwards. Of several for one text the last one counts."""

    request_id: str
    item: int
    timestamp: str
    label: Label


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
    """Return what the log keeps of a text."""
    if policy == "keep":
        return text
    return HASH_PREFIX + keyed_hash(normalise(text), key) if policy == "hash" else None


def segment_path(kind: Kind, date: str, name: str) -> str:
    """Return a segment's path inside the log's target; `date` is YYYY-MM-DD, `name` unique to one segment."""
    return f"date={date}/{kind}-{name}{SEGMENT_SUFFIX}"
