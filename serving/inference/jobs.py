"""The work of one request while it waits: its texts, its batches, and who sent it. Plain data."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np

from feature_checks.classifier import EncodedText, Probabilities
from serving.protocol.priority import Priority

BULK_BATCHES: Final = 4
"""A request with more tokens than this many full batches is a bulk request, unless it states its priority."""


class Sender(NamedTuple):
    """Who a request is from, and how urgent it is."""

    user: str = ""
    """The user with whom others share the engine's time."""
    priority: Priority | None = None
    """The priority that the request states; None for that of its size."""


ANYBODY: Final = Sender()
"""The sender of a request that has no user."""


@dataclass(frozen=True)
class BatchLimits:
    """The largest batch. A single text may exceed the limit of tokens; it then runs alone."""

    texts: int
    """The largest number of texts."""
    tokens: int
    """The largest number of tokens, padding included."""

    def allow(self, texts: int, width: int) -> bool:
        """Return whether `texts` texts padded to `width` tokens fit."""
        return texts <= self.texts and texts * width <= self.tokens

    def bulk(self, tokens: int, priority: Priority | None = None) -> bool:
        """Return whether a request of `tokens` tokens, without padding, is a bulk request."""
        return priority == "bulk" if priority else tokens > BULK_BATCHES * self.tokens


@dataclass(eq=False, slots=True)
class Job:
    """The texts of one request while they wait or are computed."""

    texts: Sequence[EncodedText]
    deadline: float = math.inf
    """The deadline of the request, in `time.monotonic` seconds."""
    queued_at: float = 0.0
    """The time at which the job was queued, in `time.monotonic` seconds."""
    sender: Sender = ANYBODY
    """Who the request is from, and how urgent it is."""
    started_at: float = 0.0
    """The time at which its first batch began, in `time.monotonic` seconds; 0 before it has ended."""
    probabilities: Probabilities = field(init=False)
    """The result, n x 3: the rows of texts that have no result yet are NaN."""
    remaining: int = field(init=False)
    """The number of texts that have no result yet."""

    def __post_init__(self) -> None:
        self.remaining = len(self.texts)
        self.probabilities = np.full((self.remaining, 3), np.nan, dtype=np.float32)


class Row(NamedTuple):
    """One text of a job."""

    job: Job
    position: int
    """The index of the text in its job."""
    encoded: EncodedText
    tokens: int
    """The length of the text in tokens."""
    ticket: int
    """The position of the job in the order of arrival."""


Batch = list[Row]


@dataclass(eq=False, slots=True)
class CutJob:
    """A job that fills batches of its own, those of short texts first."""

    job: Job
    batches: deque[Batch]
