"""The threads that run the engine.

Each worker takes the next batch itself, so that an engine never waits for the event loop. With one intra-op thread, an
engine holds the interpreter lock for well under a millisecond a batch. Threads therefore scale as processes would, and
the weights are in memory once.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from feature_checks.classifier import Probabilities
from serving.inference.engine import Engine
from serving.inference.jobs import Batch, BatchLimits, Job
from serving.inference.queue import Ahead, WorkQueue

logger = logging.getLogger(__name__)

_PROBE: Final = ("probe",)

_NICENESS: Final = 5
"""How much the niceness of worker threads is raised, so that the event loop is scheduled first. Without it the loop
waits for a core while requests arrive and answers are due; with it, two cores answer a fifth more requests a second."""


class InvalidResult(Exception):
    """The engine returned something that is not a row of three finite probabilities for each text."""


@dataclass(frozen=True, slots=True)
class BatchResult:
    """The end of one batch."""

    batch: Batch
    result: Probabilities | BaseException
    """The probabilities of the batch, row by row, or the error that the engine raised."""
    started_at: float
    """When the engine began, in `time.monotonic` seconds."""
    seconds: float
    """How long the engine took."""
    queue_seconds: float
    """How long the oldest text of the batch had waited."""


@dataclass(frozen=True, slots=True)
class WorkerStarted:
    """A worker has passed its probe, a first run of the engine, and takes batches now."""


@dataclass(frozen=True, slots=True)
class WorkerDied:
    """A worker has ended because of an error that is not the fault of a batch."""

    error: BaseException
    started: bool
    """Whether the worker had passed its probe."""


@dataclass(frozen=True, slots=True)
class HungWorker:
    """A worker whose engine call has not returned in time. Its thread cannot be ended; its result is ignored."""

    batch: Batch
    """The batch that it has been given; empty if it hangs in its probe."""
    started: bool
    """Whether the worker had passed its probe."""


WorkerEvent = BatchResult | WorkerStarted | WorkerDied


@dataclass(frozen=True, slots=True)
class _EngineCall:
    since: float
    batch: Batch


class Workers:
    """A queue and the threads that empty it. Every method may be called from any thread."""

    def __init__(self, engine: Engine, limits: BatchLimits, post: Callable[[WorkerEvent], None]) -> None:
        """`post` receives every event, on the worker's own thread, and must not block."""
        self._engine = engine
        self._post = post
        self._queue = WorkQueue(limits)
        self._ready = threading.Condition()
        self._stopping = False
        self._threads: set[threading.Thread] = set()
        self._calls: dict[threading.Thread, _EngineCall] = {}

    @property
    def waiting_texts(self) -> int:
        """The number of texts that no worker has taken yet."""
        return self._queue.texts

    def ahead(self, user: str = "") -> Ahead:
        """Return the work that is done before an online request of this user that arrives now."""
        return self._queue.ahead(user)

    def spawn(self) -> None:
        """Start one more thread; it posts `WorkerStarted` or `WorkerDied`."""
        thread = threading.Thread(target=self._live, name="engine", daemon=True)
        with self._ready:
            self._threads.add(thread)
            self._calls[thread] = _EngineCall(time.monotonic(), [])
        thread.start()

    def push(self, job: Job) -> None:
        """Queue a job and wake as many workers as it has batches for."""
        with self._ready:
            self._queue.push(job)
            self._ready.notify(job.remaining)

    def remove(self, job: Job) -> None:
        """Remove the texts of the job that no worker has taken."""
        with self._ready:
            self._queue.remove(job)

    def abandon_hung(self, seconds: float) -> list[HungWorker]:
        """Give up the workers whose engine call has taken longer than `seconds`; return them."""
        with self._ready:
            limit = time.monotonic() - seconds
            hung = [thread for thread, call in self._calls.items() if call.since < limit]
            batches = [self._calls.pop(thread).batch for thread in hung]
            self._threads.difference_update(hung)
        return [HungWorker(batch, started=bool(batch)) for batch in batches]

    def stop(self, timeout: float) -> None:
        """Let the workers end once the queue is empty; return when they have, or after `timeout` seconds."""
        with self._ready:
            self._stopping = True
            self._ready.notify_all()
        end = time.monotonic() + timeout
        for thread in tuple(self._threads):
            thread.join(max(0.0, end - time.monotonic()))
            if thread.is_alive():
                logger.error("an engine worker did not end within %.1f s and is abandoned", timeout)
        del self._engine

    def _live(self) -> None:
        thread = threading.current_thread()
        engine, started = self._engine, False
        _lower_priority()
        try:
            engine.run(engine.encode(_PROBE))
            if not self._end_call(thread):
                return
            started = True
            self._post(WorkerStarted())
            while batch := self._take(thread):
                result = self._run(engine, batch)
                if not self._end_call(thread):
                    return
                self._post(result)
                if isinstance(result.result, BaseException) and not isinstance(result.result, Exception):
                    raise result.result
        except BaseException as error:
            logger.exception("an engine worker ended")
            if thread in self._threads:
                self._post(WorkerDied(error, started))
        finally:
            with self._ready:
                self._calls.pop(thread, None)
                self._threads.discard(thread)

    def _take(self, thread: threading.Thread) -> Batch:
        """Return the next batch without the texts whose deadline has passed; an empty batch ends the worker."""
        with self._ready:
            while True:
                while self._queue.texts:
                    now = time.monotonic()
                    if batch := [row for row in self._queue.pop() if row.job.deadline > now]:
                        self._calls[thread] = _EngineCall(now, batch)
                        return batch
                if self._stopping:
                    return []
                self._ready.wait()

    def _end_call(self, thread: threading.Thread) -> bool:
        """Note that the engine has returned; False if the worker had been given up before."""
        with self._ready:
            return self._calls.pop(thread, None) is not None

    def _run(self, engine: Engine, batch: Batch) -> BatchResult:
        started = time.monotonic()
        waited = started - min(row.job.queued_at for row in batch)
        try:
            result: Probabilities | BaseException = _checked(engine.run([row.encoded for row in batch]), len(batch))
        except BaseException as error:
            logger.exception("a batch of %d texts failed", len(batch))
            result = error
        return BatchResult(batch, result, started, time.monotonic() - started, waited)


def _checked(result: Probabilities, texts: int) -> Probabilities:
    """Return the probabilities of a batch. Raises InvalidResult unless they are n x 3 and finite."""
    if result.shape != (texts, 3):
        raise InvalidResult(f"the engine returned the shape {result.shape}; expected {(texts, 3)}")
    if not np.isfinite(result).all():
        raise InvalidResult("the engine returned probabilities that are not finite numbers")
    return result


def _lower_priority() -> None:
    """Lower the scheduling priority of this thread. Only Linux has a niceness for each thread."""
    if sys.platform == "linux":
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + _NICENESS)
