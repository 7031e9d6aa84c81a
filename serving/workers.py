"""The threads that run the engine.

Each takes the next batch itself, so that an engine never waits for the event loop. With one intra-op thread
an engine holds the interpreter lock for well under a millisecond a batch, so threads scale as processes
would, and hold the weights once.
"""

from __future__ import annotations

import logging
import math
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from feature_checks.classifier import Probabilities
from serving.engine import Engine
from serving.work_queue import Batch, BatchLimits, Job, WorkQueue

logger = logging.getLogger(__name__)

STALL_SECONDS: Final = 30.0
"""A worker that has been in one batch for longer counts as dead: the largest batch takes a second or two."""

_PROBE: Final = ("probe",)

_NICENESS: Final = 5
"""How far a worker steps back behind the event loop, which would otherwise wait for a core while requests
come in and answers are due: a fifth more requests a second on two cores."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one batch: `result` is its probabilities, row by row, or why there are none."""

    batch: Batch
    result: Probabilities | BaseException
    seconds: float
    queue_seconds: float
    """How long the batch's oldest text had waited."""


@dataclass(frozen=True, slots=True)
class Started:
    """A worker has answered its probe and takes batches now."""


@dataclass(frozen=True, slots=True)
class Died:
    """A worker has ended by `error`, outside what a batch can be blamed for."""

    error: BaseException
    started: bool
    """Whether it had answered its probe."""


Event = Outcome | Started | Died


class Workers:
    """A queue and the threads that empty it. Every method may be called from any thread."""

    def __init__(self, engine: Engine, limits: BatchLimits, post: Callable[[Event], None]) -> None:
        """`post` hears every event, on the worker's own thread, and must not block."""
        self._engine = engine
        self._post = post
        self._queue = WorkQueue(limits)
        self._ready = threading.Condition()
        self._stopping = False
        self._threads: set[threading.Thread] = set()
        self._busy_since: dict[threading.Thread, float] = {}

    @property
    def stalled(self) -> bool:
        """Tell whether a worker has been in one batch for more than STALL_SECONDS."""
        return time.monotonic() - min(self._busy_since.copy().values(), default=math.inf) > STALL_SECONDS

    @property
    def waiting_texts(self) -> int:
        """Texts that no worker has taken yet."""
        return self._queue.texts

    @property
    def tokens_ahead(self) -> int:
        """Tokens that are served before a text that arrives now."""
        return self._queue.tokens_ahead

    @property
    def texts_ahead(self) -> int:
        """Texts that are served before one that arrives now."""
        return self._queue.texts_ahead

    def spawn(self) -> None:
        """Start one more thread; `Started` or `Died` tells how it went."""
        thread = threading.Thread(target=self._live, name="engine", daemon=True)
        self._threads.add(thread)
        thread.start()

    def push(self, job: Job) -> None:
        """Queue a job and wake as many workers as it has batches for."""
        with self._ready:
            self._queue.push(job)
            self._ready.notify(job.remaining)

    def remove(self, job: Job) -> None:
        """Forget what no worker has taken of the job."""
        with self._ready:
            self._queue.remove(job)

    def stop(self) -> None:
        """Let the workers end once the queue is empty; returns when they have."""
        with self._ready:
            self._stopping = True
            self._ready.notify_all()
        for thread in tuple(self._threads):
            thread.join()
        del self._engine

    def _live(self) -> None:
        thread = threading.current_thread()
        started = False
        _step_back()
        try:
            self._engine.run(self._engine.encode(_PROBE))
            started = True
            self._post(Started())
            while batch := self._take(thread):
                self._post(self._run(batch))
        except BaseException as error:
            logger.exception("an engine worker ended")
            self._post(Died(error, started))
        finally:
            self._busy_since.pop(thread, None)
            self._threads.discard(thread)

    def _take(self, thread: threading.Thread) -> Batch:
        """Return the next batch without the rows whose deadline has passed; empty to end."""
        self._busy_since.pop(thread, None)
        with self._ready:
            while True:
                while self._queue.texts:
                    now = time.monotonic()
                    if batch := [row for row in self._queue.pop() if row.job.deadline > now]:
                        self._busy_since[thread] = now
                        return batch
                if self._stopping:
                    return []
                self._ready.wait()

    def _run(self, batch: Batch) -> Outcome:
        started = time.monotonic()
        waited = started - min(row.job.queued_at for row in batch)
        try:
            result: Probabilities | BaseException = self._engine.run([row.encoded for row in batch])
        except Exception as error:
            logger.exception("a batch of %d texts failed", len(batch))
            result = error
        except BaseException as error:
            self._post(Outcome(batch, error, time.monotonic() - started, waited))
            raise
        return Outcome(batch, result, time.monotonic() - started, waited)


def _step_back() -> None:
    """Lower this thread's scheduling priority. Linux alone counts niceness by thread."""
    if sys.platform == "linux":
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + _NICENESS)
