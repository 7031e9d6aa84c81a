"""Collects the texts of all requests in one bounded queue, has workers run them in batches, and returns the results."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from feature_checks.classifier import Probabilities
from feature_checks.processor import available_cores
from serving.errors import DeadlineExceeded, NotReady, ServingError
from serving.inference.admission import Admission, Load
from serving.inference.engine import Engine
from serving.inference.jobs import ANYBODY, BatchLimits, Job, Sender
from serving.inference.results import KeepFinished, RequestRows, ScoredTexts, engine_failed, inference_hung, trace_job
from serving.inference.tokeniser import Tokeniser
from serving.inference.workers import BatchResult, WorkerDied, WorkerEvent, Workers, WorkerStarted
from serving.settings import Settings
from serving.telemetry import metrics, tracing

logger = logging.getLogger(__name__)

_RESPAWN_SECONDS: Final = (0.0, 0.1, 0.5, 2.0, 5.0)
"""The pause before a lost worker is replaced, by the number of workers lost since a batch was last finished."""

_JOIN_SECONDS: Final = 5.0
"""How long `stop` waits for the threads once no request is left."""


@dataclass(eq=False, slots=True)
class _Waiter:
    future: asyncio.Future[None]
    load: Load


class Batcher:
    """Scores texts with one engine. Belongs to the event loop that started it.

    Example: `await batcher.start()`, then `(await batcher.score(["It works."])).probabilities`.
    """

    def __init__(self, engine: Engine, settings: Settings) -> None:
        """`settings.engine_threads` threads run the engine, by default one for each available core."""
        self._engine = engine
        self._settings = settings
        self._threads = settings.engine_threads or available_cores()
        limits = BatchLimits(settings.batch_texts, settings.batch_tokens)
        self._workers = Workers(engine, limits, self._post)
        self._tokeniser = Tokeniser(engine)
        self._admission = Admission(settings, limits, self._threads)
        self._waiters: dict[Job, _Waiter] = {}
        self._alive = self._losses = self._active = 0
        self._stopping = self._stopped = False
        self._idle = asyncio.Event()

    @property
    def healthy(self) -> bool:
        """Whether every worker is alive; one whose engine call hangs counts as lost."""
        return self._alive == self._threads

    @property
    def queued_texts(self) -> int:
        """The number of accepted texts that are tokenised and that no worker has taken yet."""
        return self._workers.waiting_texts

    @property
    def estimated_wait(self) -> float:
        """The seconds that an online request is expected to wait for its batch if it arrives now."""
        return self._admission.seconds(self._workers.ahead().tokens)

    async def start(self) -> None:
        """Start the workers; return when each has run the engine once. Raises EngineFailed if one cannot."""
        self._loop = asyncio.get_running_loop()
        self._started: asyncio.Future[None] = self._loop.create_future()
        for _ in range(self._threads):
            self._workers.spawn()
        self._watch()
        try:
            await self._started
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Answer the accepted requests, then end the threads. Later calls of `score` raise NotReady.

        Requests that are not answered within DRAIN_SECONDS fail with NotReady.
        """
        if self._stopped:
            return
        self._stopping = True
        if self._active:
            self._idle.clear()
            try:
                await asyncio.wait_for(self._idle.wait(), self._settings.drain_seconds)
            except TimeoutError:
                self._fail(set(self._waiters), lambda: NotReady("the server shut down before the answer was ready"))
        self._stopped = True
        self._watchdog.cancel()
        await asyncio.to_thread(self._workers.stop, _JOIN_SECONDS)
        self._tokeniser.close()
        # Batcher and workers refer to each other: the engine's memory must not wait for the garbage collector.
        del self._engine

    async def score(
        self,
        texts: Sequence[str],
        deadline: float | None = None,
        keep_finished: KeepFinished | None = None,
        sender: Sender = ANYBODY,
    ) -> ScoredTexts:
        """Return the results of one or more texts; `deadline` is in the event loop's time.

        Raises NotReady, Overloaded (at once, before any work), DeadlineExceeded or EngineFailed. Cancelling the call
        removes the texts that no worker has taken. If the request fails, `keep_finished` gets what had been computed.
        """
        if self._stopping or not self._alive:
            raise NotReady("no engine worker is running; try again in a moment", retry_after=1)
        until = math.inf if deadline is None else deadline
        load = self._admission.admit(texts, until, self._loop.time(), self._workers.ahead(sender.user), sender)
        self._active += 1
        try:
            encoded = await self._tokeniser.encode(texts, deadline, bulk=load.bulk)
            windows = await self._tokeniser.divide(texts, encoded, deadline, bulk=load.bulk)
            request = RequestRows(windows.encoded if windows else encoded, windows, keep_finished)
            self._admission.tokenised(load, sum([len(row.ids) for row in request.rows]))
            probabilities = request.combined(await self._infer(request, deadline, load))
        except DeadlineExceeded:
            metrics.DROPPED.labels("deadline").inc()
            raise
        except asyncio.CancelledError:
            metrics.DROPPED.labels("client_left").inc()
            raise
        finally:
            self._admission.release(load)
            self._active -= 1
            if not self._active:
                self._idle.set()
        return ScoredTexts(probabilities, request.truncated, [False] * len(texts))

    async def _infer(self, request: RequestRows, deadline: float | None, load: Load) -> Probabilities:
        now = time.monotonic()
        until = math.inf if deadline is None else now + deadline - self._loop.time()
        job = Job(request.rows, until, now, load.sender)
        future: asyncio.Future[None] = self._loop.create_future()
        self._waiters[job] = _Waiter(future, load)
        timer = None if deadline is None else self._loop.call_at(deadline, _expire, future)
        self._workers.push(job)
        try:
            await future
        finally:
            if timer is not None:
                timer.cancel()
            del self._waiters[job]
            if tracing.tracer is not None:
                trace_job(job)
            if job.remaining:
                self._workers.remove(job)
                if job.remaining < len(request.rows):
                    request.keep(job.probabilities)
        return job.probabilities

    def _post(self, event: WorkerEvent) -> None:
        self._loop.call_soon_threadsafe(self._handle, event)

    def _handle(self, event: WorkerEvent) -> None:
        match event:
            case BatchResult():
                self._finish(event)
            case WorkerStarted():
                self._alive += 1
                if self._alive == self._threads and not self._started.done():
                    self._started.set_result(None)
            case WorkerDied():
                self._alive -= event.started
                self._replace(event.error)
        metrics.WORKERS.set(self._alive)
        metrics.QUEUED_TEXTS.set(self.queued_texts)

    def _finish(self, outcome: BatchResult) -> None:
        batch, result = outcome.batch, outcome.result
        if isinstance(result, BaseException):
            metrics.ENGINE_FAILURES.inc()
            self._fail({row.job for row in batch}, lambda: engine_failed(result))
            return
        waiter = self._waiters.get(batch[0].job)
        self._measure(outcome, waiter.load if waiter and waiter.load.bulk else None)
        for row, probabilities in zip(batch, result, strict=True):
            job = row.job
            job.started_at = job.started_at or outcome.started_at
            job.probabilities[row.position] = probabilities
            job.remaining -= 1
            if not job.remaining and (waiter := self._waiters.get(job)) and not waiter.future.done():
                waiter.future.set_result(None)
        self._losses = 0

    def _measure(self, outcome: BatchResult, load: Load | None) -> None:
        batch, tokens = outcome.batch, sum(row.tokens for row in outcome.batch)
        self._admission.measure(tokens, outcome.seconds, self._loop.time(), load)
        metrics.BATCH_TEXTS.observe(len(batch))
        metrics.BATCH_TOKENS.inc(tokens)
        metrics.BATCH_PADDING.inc(max(row.tokens for row in batch) * len(batch) - tokens)
        metrics.INFERENCE_SECONDS.observe(outcome.seconds)
        metrics.QUEUE_SECONDS.observe(outcome.queue_seconds)
        metrics.QUEUE_WAIT_ESTIMATE.set(self.estimated_wait)

    def _fail(self, jobs: set[Job], failure: Callable[[], ServingError]) -> None:
        for job in jobs:
            waiter = self._waiters.get(job)
            if waiter and not waiter.future.done():
                waiter.future.set_exception(failure())

    def _watch(self) -> None:
        """Give up workers whose engine call hangs, and look again later."""
        seconds = self._settings.engine_timeout_seconds
        for hung in self._workers.abandon_hung(seconds):
            metrics.ENGINE_HANGS.inc()
            logger.error("an engine call has not returned within %g s: its worker is replaced", seconds)
            self._alive -= hung.started
            self._fail({row.job for row in hung.batch}, inference_hung)
            self._replace(TimeoutError(f"the engine did not answer within {seconds:g} s"))
            metrics.WORKERS.set(self._alive)
        self._watchdog = self._loop.call_later(min(1.0, seconds / 4), self._watch)

    def _replace(self, cause: BaseException) -> None:
        if not self._started.done():
            self._started.set_exception(engine_failed(cause))
            return
        if not self._alive and (self._losses or not isinstance(cause, TimeoutError)):
            self._fail(set(self._waiters), lambda: engine_failed(cause))
        pause = _RESPAWN_SECONDS[min(self._losses, len(_RESPAWN_SECONDS) - 1)]
        self._losses += 1
        logger.error("an engine worker was lost; its replacement starts in %.1f s", pause)
        self._loop.call_later(pause, self._respawn)

    def _respawn(self) -> None:
        if not self._stopped:
            self._workers.spawn()


def _expire(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_exception(DeadlineExceeded())
