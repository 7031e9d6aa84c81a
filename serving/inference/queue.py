"""The texts that wait for inference, and the choice of the next batch: plain data without threads or event loop.

There are two classes of requests, by the priority that they state, otherwise by size. Online requests come first, in
turn: the texts of requests that fit in one batch are batched with texts of similar length, and a larger request is cut
into batches of its own. Bulk requests, those of more than `BULK_BATCHES` batches of work or marked as bulk, get every
batch that no online request needs, and at least one of `BULK_SHARE` batches, so that neither class can starve the
other. In each class, users who have cut requests share the batches equally, by tokens (`FairLane`). Of the requests
that fit in one batch, the oldest text is always in the next batch of these, whatever its length.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from typing import Final, NamedTuple

from serving.inference.fair_lane import FairLane
from serving.inference.jobs import Batch, BatchLimits, CutJob, Job, Row

_PADDING_TOKENS: Final = 5
"""The most padding, in tokens, that adding one row to a batch may cause. Starting a batch costs as much as 17 tokens
(0.74 ms against 0.043 ms a token, MiniLM-L6 INT8, AVX-512), but a row that is left out rarely needs a batch of its
own. Of the values from 3 to 8, 4 to 6 gave the highest throughput at 32 and 64 waiting requests."""

_WINDOW: Final = 64
"""The number of oldest texts that are searched for texts of similar length. 64 saves 1 % of the work compared with
48, and 6 % compared with 24; with more, common lengths would overtake rare ones for longer."""

BULK_SHARE: Final = 8
"""While both classes wait, one batch in this many is a bulk batch."""


class Ahead(NamedTuple):
    """The work before a request that arrives now."""

    texts: int
    """The texts that are computed before the first batch of the request."""
    tokens: int
    """The tokens of these, padding included."""
    turns: int
    """The further batches that are computed before it if it is a cut request, because its user has others."""


class WorkQueue:
    """The waiting texts. Not thread-safe: the owner holds a lock.

    Example: `queue.push(Job(encoded))` queues a request, `queue.pop()` returns the next batch.
    """

    def __init__(self, limits: BatchLimits) -> None:
        """`limits` bound every batch."""
        self._limits = limits
        self._small: Batch = []
        self._cut = FairLane()
        self._bulk = FairLane()
        self._next_ticket = 0
        self._small_tokens = 0
        self._batches_since_bulk = 0
        self.texts = 0
        """The number of waiting texts."""

    @property
    def tokens_ahead(self) -> int:
        """The tokens that are computed before a small request that arrives now.

        They are those of every small request, and one batch for each user that takes turns with them.
        """
        return self._small_tokens + self._turns_ahead * self._limits.tokens

    @property
    def texts_ahead(self) -> int:
        """The texts that are computed before a small request that arrives now."""
        return len(self._small) + self._turns_ahead * self._limits.texts

    @property
    def _turns_ahead(self) -> int:
        return self._cut.users + bool(self._bulk)

    def ahead(self, user: str) -> Ahead:
        """Return the work before a request of this user."""
        others = max(self._cut.jobs_of(user) - 1, 0) * self._cut.users
        return Ahead(self.texts_ahead, self.tokens_ahead, others)

    def push(self, job: Job) -> None:
        """Queue every text of the job."""
        ticket = self._ticket()
        rows = [Row(job, position, text, len(text.ids), ticket) for position, text in enumerate(job.texts)]
        self.texts += len(rows)
        tokens = sum(row.tokens for row in rows)
        bulk = self._limits.bulk(tokens, job.sender.priority)
        if not bulk and self._limits.allow(len(rows), max(row.tokens for row in rows)):
            self._small += rows
            self._small_tokens += tokens
        else:
            lane = self._bulk if bulk else self._cut
            lane.push(CutJob(job, deque(self._batches(rows))), ticket)

    def pop(self) -> Batch:
        """Return the next batch; it is empty when nothing waits."""
        online = self._small or self._cut
        if self._bulk and (not online or self._batches_since_bulk >= BULK_SHARE - 1):
            batch = self._bulk.pop(self._ticket())
            self._batches_since_bulk = 0
        else:
            batch = self._online()
            self._batches_since_bulk += 1
        self.texts -= len(batch)
        return batch

    def remove(self, job: Job) -> None:
        """Remove the texts of the job that still wait."""
        kept = [row for row in self._small if row.job is not job]
        self._small_tokens -= sum(row.tokens for row in self._small if row.job is job)
        self.texts -= len(self._small) - len(kept)
        self._small = kept
        self.texts -= self._cut.remove(job) + self._bulk.remove(job)

    def _ticket(self) -> int:
        self._next_ticket += 1
        return self._next_ticket

    def _batches(self, rows: Batch) -> Iterator[Batch]:
        batch: Batch = []
        for row in sorted(rows, key=_by_tokens):
            if batch and not self._limits.allow(len(batch) + 1, row.tokens):
                yield batch
                batch = []
            batch.append(row)
        yield batch

    def _online(self) -> Batch:
        if self._cut and not (self._small and self._small[0].ticket < self._cut.next_ticket):
            return self._cut.pop(self._ticket())
        return self._neighbours()

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
        """Return the bounds of the slice of `window` that forms one batch with the row at `start`.

        `window` is sorted by tokens. Rows are added on the side that causes less padding, as long as it is little.
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
