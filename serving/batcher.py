"""Texts from every connection → one bounded queue → batches → the engine's threads, and the answers back."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from feature_checks.classifier import EncodedText, Probabilities
from serving import metrics
from serving.cores import available_cores
from serving.engine import Engine
from serving.errors import DeadlineExceeded, EngineFailed, NotReady, Overloaded, ServingError
from serving.settings import Settings
from serving.tokeniser import Tokeniser
from serving.work_queue import Batch, BatchLimits, Job
from serving.workers import Died, Event, Outcome, Started, Workers

logger = logging.getLogger(__name__)

_ALWAYS_TEXTS: Final = 32
"""Texts for each worker that may wait however slow the machine seems. Without them a moment of slowness could
last: refusals make clients come back at once, and answering those takes the time that inference needs."""

_FIRST_BATCH: Final = (0.02, 200.0)
"""Seconds and tokens of a batch, until the first ones have been measured."""

_MEMORY: Final = 0.9
"""How much of the measured speed is kept from one batch to the next."""

_RESPAWN_SECONDS: Final = (0.0, 0.1, 0.5, 2.0, 5.0)
"""Pause before a dead worker's replacement, by how many have died since one last finished a batch."""


@dataclass(frozen=True)
class Scores:
    """Answers to n texts, in their order."""

    probabilities: Probabilities
    truncated: Sequence[bool]
    """Whether the model read only the beginning of the text."""
    cached: Sequence[bool]
    """Whether the answer was computed for an earlier text."""


class Batcher:
    """The queue's asyncio side: belongs to the event loop that started it."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        """`engine` is run by `settings.engine_threads` threads, by default one for each available core."""
        self._engine = engine
        self._settings = settings
        self._threads = settings.engine_threads or available_cores()
        self._workers = Workers(engine, BatchLimits(settings.batch_texts, settings.batch_tokens), self._post)
        self._tokeniser = Tokeniser(engine)
        self._always_accepted = _ALWAYS_TEXTS * self._threads
        self._futures: dict[Job, asyncio.Future[None]] = {}
        self._alive = 0
        self._deaths = 0
        self._active = 0
        self._stopping = False
        self._stopped = False
        self._idle = asyncio.Event()
        self._speed = _FIRST_BATCH

    @property
    def healthy(self) -> bool:
        """Tell whether every worker is alive and none has been in one batch for too long."""
        return self._alive == self._threads and not self._workers.stalled

    @property
    def estimated_wait(self) -> float:
        """Seconds that a text which arrives now is expected to wait for its batch."""
        seconds, tokens = self._speed
        return self._workers.tokens_ahead * seconds / tokens / self._threads

    async def start(self) -> None:
        """Start the workers; returns when each has run the engine once. Raises EngineFailed if one cannot."""
        self._loop = asyncio.get_running_loop()
        self._first: asyncio.Future[None] = self._loop.create_future()
        for _ in range(self._threads):
            self._workers.spawn()
        try:
            await self._first
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Answer what has been accepted, then end the threads. Later calls of `score` raise NotReady."""
        if self._stopped:
            return
        self._stopping = True
        if self._active:
            self._idle.clear()
            await self._idle.wait()
        self._stopped = True
        await asyncio.to_thread(self._workers.stop)
        self._tokeniser.close()
        # Batcher and workers refer to each other: the engine's memory must not wait for the garbage collector.
        del self._engine

    async def score(self, texts: Sequence[str], deadline: float | None = None) -> Scores:
        """Return the scores of one or more texts; `deadline` is in the event loop's time.

        Raises NotReady, Overloaded (at once, before any work), DeadlineExceeded or EngineFailed. Cancelling
        the call takes what has not begun out of the queue.
        """
        self._admit(len(texts))
        self._active += 1
        try:
            encoded = await self._tokeniser.encode(texts, deadline)
            probabilities = await self._infer(encoded, deadline)
        except DeadlineExceeded:
            metrics.DROPPED.labels("deadline").inc()
            raise
        except asyncio.CancelledError:
            metrics.DROPPED.labels("client_left").inc()
            raise
        finally:
            self._active -= 1
            if not self._active:
                self._idle.set()
        return Scores(probabilities, [text.truncated for text in encoded], [False] * len(encoded))

    def _admit(self, count: int) -> None:
        if self._stopping or not self._alive:
            raise NotReady("no engine worker is running; try again in a moment", retry_after=1)
        waiting, wait = self._workers.waiting_texts + self._tokeniser.texts, self.estimated_wait
        short = wait <= self._settings.queue_seconds or self._workers.texts_ahead < self._always_accepted
        if short and waiting + count <= self._settings.queue_texts:
            return
        metrics.OVERLOADED.inc()
        raise Overloaded(
            f"{waiting} texts wait, about {wait:.2f} s of work; at most {self._settings.queue_texts} "
            f"texts or {self._settings.queue_seconds} s may wait: try again later",
            retry_after=wait,
        )

    async def _infer(self, encoded: list[EncodedText], deadline: float | None) -> Probabilities:
        now = time.monotonic()
        job = Job(encoded, math.inf if deadline is None else now + deadline - self._loop.time(), now)
        self._futures[job] = future = self._loop.create_future()
        timer = None if deadline is None else self._loop.call_at(deadline, _expire, future)
        self._workers.push(job)
        try:
            await future
        finally:
            if timer is not None:
                timer.cancel()
            del self._futures[job]
            if job.remaining:
                self._workers.remove(job)
        return job.probabilities

    def _post(self, event: Event) -> None:
        self._loop.call_soon_threadsafe(self._handle, event)

    def _handle(self, event: Event) -> None:
        match event:
            case Outcome():
                self._finish(event)
            case Started():
                self._alive += 1
                if self._alive == self._threads and not self._first.done():
                    self._first.set_result(None)
            case Died():
                self._replace(event)
        metrics.WORKERS.set(self._alive)
        metrics.QUEUED_TEXTS.set(self._workers.waiting_texts)

    def _finish(self, outcome: Outcome) -> None:
        batch, result = outcome.batch, outcome.result
        if isinstance(result, BaseException):
            metrics.ENGINE_FAILURES.inc()
            self._fail({row.job for row in batch}, result)
            return
        for row, probabilities in zip(batch, result, strict=True):
            job = row.job
            job.probabilities[row.position] = probabilities
            job.remaining -= 1
            if not job.remaining and (future := self._futures.get(job)) and not future.done():
                future.set_result(None)
        self._deaths = 0
        self._measure(batch, outcome)

    def _measure(self, batch: Batch, outcome: Outcome) -> None:
        tokens = sum(row.tokens for row in batch)
        seconds, read = self._speed
        self._speed = (_MEMORY * seconds + outcome.seconds, _MEMORY * read + tokens)
        metrics.BATCH_TEXTS.observe(len(batch))
        metrics.BATCH_TOKENS.inc(tokens)
        metrics.BATCH_PADDING.inc(max(row.tokens for row in batch) * len(batch) - tokens)
        metrics.INFERENCE_SECONDS.observe(outcome.seconds)
        metrics.QUEUE_SECONDS.observe(outcome.queue_seconds)
        metrics.QUEUE_WAIT_ESTIMATE.set(self.estimated_wait)

    def _fail(self, jobs: set[Job], cause: BaseException) -> None:
        for job in jobs:
            future = self._futures.get(job)
            if future and not future.done():
                future.set_exception(_engine_failed(cause))

    def _replace(self, death: Died) -> None:
        self._alive -= death.started
        if not self._first.done():
            self._first.set_exception(_engine_failed(death.error))
            return
        if not self._alive:
            self._fail(set(self._futures), death.error)
        pause = _RESPAWN_SECONDS[min(self._deaths, len(_RESPAWN_SECONDS) - 1)]
        self._deaths += 1
        logger.error("an engine worker died; its replacement starts in %.1f s", pause)
        self._loop.call_later(pause, self._respawn)

    def _respawn(self) -> None:
        if not self._stopped:
            self._workers.spawn()


def _expire(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_exception(DeadlineExceeded())


def _engine_failed(cause: BaseException) -> ServingError:
    failure = EngineFailed(f"inference failed: {cause!r}")
    failure.__cause__ = cause
    return failure
