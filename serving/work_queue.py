"""What waits for inference, and which batch is next: plain data, no threads, no event loop.

Requests take turns (round robin, one batch a turn). Texts of small requests share a turn with their
neighbours in length; a large request is cut into batches of its own when it arrives and goes to the back of
the queue after each, so that it and the small ones are served side by side. The oldest text is in the next
batch whatever its length: nothing starves.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np

from feature_checks.classifier import EncodedText, Probabilities

_PADDING_TOKENS: Final = 5
"""The most padding that one more row may cause. Starting a batch costs as much as 13 tokens (0.85 ms against
0.065 ms a token, MiniLM-L6 INT8, AVX-512), but a row left out seldom needs one of its own: of 4 to 12 tokens,
five gave the most texts a second at 8, 16, 32 and 64 waiting requests."""

_WINDOW: Final = 48
"""How many of the oldest texts are looked at for neighbours. Twice as many as 24 saves 5 % of the work; more
would let common lengths overtake rare ones for longer."""


@dataclass(frozen=True)
class BatchLimits:
    """The most a batch holds: texts, and tokens after padding. One text may exceed the tokens alone."""

    texts: int
    tokens: int

    def allow(self, texts: int, width: int) -> bool:
        """Tell whether `texts` texts padded to `width` tokens fit."""
        return texts <= self.texts and texts * width <= self.tokens


@dataclass(eq=False, slots=True)
class Job:
    """One request's texts on their way through the engine."""

    texts: Sequence[EncodedText]
    deadline: float = math.inf
    """In `time.monotonic` seconds."""
    queued_at: float = 0.0
    """In `time.monotonic` seconds."""
    probabilities: Probabilities = field(init=False)
    remaining: int = field(init=False)
    """Texts without an answer yet."""

    def __post_init__(self) -> None:
        self.remaining = len(self.texts)
        self.probabilities = np.empty((self.remaining, 3), dtype=np.float32)


class Row(NamedTuple):
    """One text of a job, `tokens` long."""

    job: Job
    position: int
    encoded: EncodedText
    tokens: int
    ticket: int


Batch = list[Row]


@dataclass(eq=False, slots=True)
class _Large:
    """A request that fills batches of its own: narrow ones first."""

    job: Job
    ticket: int
    batches: deque[Batch]


class WorkQueue:
    """The waiting texts. Not thread-safe: its owner holds a lock."""

    def __init__(self, limits: BatchLimits) -> None:
        """`limits` bound every batch."""
        self._limits = limits
        self._small: Batch = []
        self._large: deque[_Large] = deque()
        self._next_ticket = 0
        self._small_tokens = 0
        self.texts = 0
        """Texts that wait."""

    @property
    def tokens_ahead(self) -> int:
        """Tokens served before a text that arrives now: all small requests, and one turn of each large
        one."""
        return self._small_tokens + len(self._large) * self._limits.tokens

    @property
    def texts_ahead(self) -> int:
        """Texts served before one that arrives now: all of small requests, and one turn of each large one."""
        return len(self._small) + len(self._large) * self._limits.texts

    def push(self, job: Job) -> None:
        """Queue every text of the job."""
        ticket = self._ticket()
        rows = [Row(job, place, text, len(text.ids), ticket) for place, text in enumerate(job.texts)]
        self.texts += len(rows)
        if self._limits.allow(len(rows), max(row.tokens for row in rows)):
            self._small += rows
            self._small_tokens += sum(row.tokens for row in rows)
        else:
            self._large.append(_Large(job, ticket, deque(self._cut(rows))))

    def pop(self) -> Batch:
        """Return the next batch; empty when nothing waits."""
        if self._large and not (self._small and self._small[0].ticket < self._large[0].ticket):
            batch = self._turn()
        else:
            batch = self._neighbours()
        self.texts -= len(batch)
        return batch

    def remove(self, job: Job) -> None:
        """Forget what still waits of the job."""
        kept = [row for row in self._small if row.job is not job]
        self._small_tokens -= sum(row.tokens for row in self._small if row.job is job)
        large = [turn for turn in self._large if turn.job is job]
        self.texts -= len(self._small) - len(kept)
        self.texts -= sum(len(batch) for turn in large for batch in turn.batches)
        self._small = kept
        for turn in large:
            self._large.remove(turn)

    def _ticket(self) -> int:
        self._next_ticket += 1
        return self._next_ticket

    def _cut(self, rows: Batch) -> Iterator[Batch]:
        batch: Batch = []
        for row in sorted(rows, key=_by_tokens):
            if batch and not self._limits.allow(len(batch) + 1, row.tokens):
                yield batch
                batch = []
            batch.append(row)
        yield batch

    def _turn(self) -> Batch:
        large = self._large.popleft()
        batch = large.batches.popleft()
        if large.batches:
            large.ticket = self._ticket()
            self._large.append(large)
        return batch

    def _neighbours(self) -> Batch:
        if not self._small:
            return []
        oldest = self._small[0]
        window = sorted(self._small[:_WINDOW], key=_by_tokens)
        low, high = self._grow(window, window.index(oldest))
        batch = window[low:high]
        taken = {(id(row.job), row.position) for row in batch}
        self._small = [row for row in self._small if (id(row.job), row.position) not in taken]
        self._small_tokens -= sum(row.tokens for row in batch)
        return batch

    def _grow(self, window: Batch, start: int) -> tuple[int, int]:
        """Return the slice of `window`, sorted by tokens, that is worth one batch with the row at `start`.

        A row joins while it causes little padding, the cheaper side first.
        """
        low, high = start, start + 1
        while True:
            size, width = high - low, window[high - 1].tokens
            below = width - window[low - 1].tokens if low else math.inf
            above = (window[high].tokens - width) * size if high < len(window) else math.inf
            if min(below, above) > _PADDING_TOKENS:
                return low, high
            if not self._limits.allow(size + 1, width if below <= above else window[high].tokens):
                return low, high
            low, high = (low - 1, high) if below <= above else (low, high + 1)


def _by_tokens(row: Row) -> int:
    return row.tokens
