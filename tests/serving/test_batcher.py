"""The batcher's promises: right answers, at once when idle, refusal when full, and every failure told."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress

import numpy as np
import pytest

from feature_checks.bundle import Bundle
from feature_checks.classifier import EncodedText, Probabilities
from serving import workers
from serving.batcher import Batcher
from serving.engine import Engine, FakeEngine, OnnxEngine
from serving.errors import DeadlineExceeded, EngineFailed, NotReady, Overloaded
from serving.settings import Settings

from .conftest import eventually

Started = Callable[..., Awaitable[Batcher]]


class Gate(FakeEngine):
    """An engine that, once closed, waits in `run` until it is opened, and remembers its batches."""

    def __init__(self) -> None:
        super().__init__()
        self._open = threading.Event()
        self._open.set()
        self.batches: list[int] = []
        self.entered = threading.Semaphore(0)

    def close(self) -> None:
        self._open.clear()
        self.batches.clear()

    def open(self) -> None:
        self._open.set()

    def run(self, batch: Sequence[EncodedText]) -> Probabilities:
        self.batches.append(len(batch))
        if not self._open.is_set():
            self.entered.release()
            assert self._open.wait(20)
        return super().run(batch)

    async def busy(self) -> None:
        """Wait until a worker is inside `run`."""
        await asyncio.to_thread(self.entered.acquire)


class Failing(FakeEngine):
    """An engine that raises `error` while it is set."""

    error: BaseException | None = None

    def run(self, batch: Sequence[EncodedText]) -> Probabilities:
        if self.error is not None:
            raise self.error
        return super().run(batch)


@pytest.fixture
async def start() -> AsyncIterator[Started]:
    running: list[Batcher] = []

    async def begin(engine: Engine, **settings: object) -> Batcher:
        batcher = Batcher(engine, Settings(**({"engine_threads": 1, "queue_seconds": 60} | settings)))  # type: ignore[arg-type]
        await batcher.start()
        running.append(batcher)
        return batcher

    yield begin
    for batcher in running:
        await batcher.stop()


async def fill(engine: Gate, batcher: Batcher) -> asyncio.Task[object]:
    """Occupy the one worker."""
    engine.close()
    first: asyncio.Task[object] = asyncio.create_task(batcher.score(["occupied"]))
    await engine.busy()
    return first


@pytest.mark.parametrize("threads", [1, 3])
async def test_everyone_gets_the_answers_to_their_own_texts(start: Started, threads: int) -> None:
    batcher = await start(FakeEngine(), engine_threads=threads)
    requests = [[f"word{n} " * (1 + (n * k) % 50) for k in range(1, 2 + n % 40)] for n in range(1, 120)]
    found = await asyncio.gather(*map(batcher.score, requests))
    alone = FakeEngine()
    for texts, scores in zip(requests, found, strict=True):
        np.testing.assert_array_equal(scores.probabilities, alone.run(alone.encode(texts)))
        assert not any(scores.cached)


async def test_the_real_engine_answers_the_same_as_in_a_plain_loop(start: Started, tiny_bundle: Bundle) -> None:
    engine = OnnxEngine(tiny_bundle, model=tiny_bundle.fp32_path)
    batcher = await start(engine, engine_threads=2)
    texts = [f"Review {n}: it works." + " Well done." * (n % 30) for n in range(300)]
    found = (await batcher.score(texts)).probabilities
    expected = engine.probabilities(texts)
    np.testing.assert_allclose(found, expected, atol=1e-4)


async def test_truncated_texts_are_told(start: Started) -> None:
    scores = await (await start(FakeEngine())).score(["short", "long " * 300])
    assert scores.truncated == [False, True]


async def test_requests_that_wait_share_a_batch(start: Started) -> None:
    engine = Gate()
    batcher = await start(engine)
    first = await fill(engine, batcher)
    others = [asyncio.create_task(batcher.score([f"text {n}"])) for n in range(8)]
    await asyncio.sleep(0.05)
    engine.open()
    await asyncio.gather(first, *others)
    assert engine.batches == [1, 8]


async def test_a_batch_holds_no_more_than_its_limits(start: Started) -> None:
    engine = Gate()
    batcher = await start(engine, batch_texts=4, batch_tokens=12)
    engine.batches.clear()
    await batcher.score(["one two"] * 10)
    assert engine.batches == [3, 3, 3, 1]


async def test_an_idle_server_does_not_wait_for_more(start: Started) -> None:
    engine = Gate()
    batcher = await start(engine)
    engine.batches.clear()
    for number in range(5):
        await batcher.score([f"text {number}"])
    assert engine.batches == [1] * 5


async def test_a_full_queue_refuses_at_once_and_recovers(start: Started) -> None:
    engine = Gate()
    batcher = await start(engine, queue_texts=3)
    first = await fill(engine, batcher)
    waiting = asyncio.create_task(batcher.score(["a", "b"]))
    await asyncio.sleep(0.02)
    with pytest.raises(Overloaded, match=r"2 texts wait.*at most 3 texts") as refused:
        await batcher.score(["c", "d"])
    assert refused.value.retry_after is not None
    assert engine.batches == [1]
    engine.open()
    await asyncio.gather(first, waiting)
    await batcher.score(["c", "d"])


async def test_the_wait_is_bounded_by_the_measured_speed(start: Started) -> None:
    slow = await start(FakeEngine(seconds_per_token=0.002), queue_seconds=0.1, batch_tokens=24)
    answered, refused = [], []

    async def client(number: int) -> None:
        began = time.monotonic()
        try:
            await slow.score([f"just four words {number}"])
            answered.append(time.monotonic() - began)
        except Overloaded:
            refused.append(time.monotonic() - began)

    await asyncio.gather(*(client(n) for n in range(20)))  # teaches the batcher its speed
    answered.clear(), refused.clear()
    await asyncio.gather(*(client(n) for n in range(200)))
    assert answered
    assert len(refused) > 100
    assert max(answered) < 2


async def test_a_short_queue_is_accepted_however_slow_the_machine_seems(start: Started) -> None:
    batcher = await start(FakeEngine(seconds_per_token=0.001), queue_seconds=1e-9, batch_tokens=24)
    found = await asyncio.gather(*(batcher.score([f"word{n}"]) for n in range(20)))
    assert len(found) == 20


async def test_a_client_that_left_is_dropped_before_inference(start: Started) -> None:
    engine = Gate()
    batcher = await start(engine)
    first = await fill(engine, batcher)
    gone = asyncio.create_task(batcher.score(["gone"]))
    await asyncio.sleep(0.02)
    gone.cancel()
    with suppress(asyncio.CancelledError):
        await gone
    engine.open()
    await first
    await batcher.score(["next"])
    assert engine.batches == [1, 1]


async def test_a_passed_deadline_is_told_and_not_computed(start: Started) -> None:
    engine = Gate()
    batcher = await start(engine)
    first = await fill(engine, batcher)
    with pytest.raises(DeadlineExceeded):
        await batcher.score(["late"], asyncio.get_running_loop().time() + 0.03)
    engine.open()
    await first
    await batcher.score(["next"])
    assert engine.batches == [1, 1]


async def test_a_large_request_that_is_cancelled_stops_being_computed(start: Started) -> None:
    engine = Gate()
    batcher = await start(engine)
    first = await fill(engine, batcher)
    bulk = asyncio.create_task(batcher.score(["some words"] * 500))
    await asyncio.sleep(0.05)
    bulk.cancel()
    with suppress(asyncio.CancelledError):
        await bulk
    engine.open()
    await first
    await batcher.score(["next"])
    assert sum(engine.batches) <= 1 + 16 + 1


async def test_single_texts_are_served_beside_a_large_request(start: Started) -> None:
    batcher = await start(FakeEngine(seconds_per_token=0.0002))
    bulk = asyncio.create_task(batcher.score(["a few more words"] * 600))
    await asyncio.sleep(0.1)
    for number in range(5):
        await batcher.score([f"single {number}"])
    assert not bulk.done()
    assert (await bulk).probabilities.shape == (600, 3)


async def test_a_failed_batch_reaches_every_waiter_and_only_them(
    start: Started, caplog: pytest.LogCaptureFixture
) -> None:
    engine = Failing()
    batcher = await start(engine)
    engine.error = RuntimeError("bad arithmetic")
    outcomes = await asyncio.gather(*(batcher.score([f"text {n}"]) for n in range(20)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [EngineFailed] * 20
    assert "bad arithmetic" in str(outcomes[0])
    assert "failed" in caplog.text
    engine.error = None
    assert batcher.healthy
    assert (await batcher.score(["fine again"])).probabilities.shape == (1, 3)


async def test_a_failing_tokeniser_is_told(start: Started) -> None:
    class Unreadable(FakeEngine):
        broken = False

        def encode(self, texts: Sequence[str]) -> list[EncodedText]:
            if self.broken:
                raise RuntimeError("no vocabulary")
            return super().encode(texts)

    engine = Unreadable()
    batcher = await start(engine)
    engine.broken = True
    with pytest.raises(EngineFailed, match="no vocabulary"):
        await batcher.score(["text"])


async def test_a_dead_worker_fails_its_waiters_then_is_replaced(start: Started) -> None:
    engine = Failing()
    batcher = await start(engine)
    engine.error = SystemExit("the worker ends")
    with pytest.raises(EngineFailed, match="the worker ends"):
        await batcher.score(["text"])
    await eventually(lambda: not batcher.healthy)
    with pytest.raises((NotReady, EngineFailed)):
        await batcher.score(["text"])
    engine.error = None
    await eventually(lambda: batcher.healthy)
    assert (await batcher.score(["fine again"])).probabilities.shape == (1, 3)


async def test_a_worker_that_hangs_is_not_healthy(start: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Gate()
    batcher = await start(engine)
    first = await fill(engine, batcher)
    assert batcher.healthy
    monkeypatch.setattr(workers, "STALL_SECONDS", 0.01)
    await asyncio.sleep(0.02)
    assert not batcher.healthy
    engine.open()
    await first
    await eventually(lambda: batcher.healthy)


async def test_an_engine_that_cannot_run_is_refused_at_the_start() -> None:
    engine = Failing()
    engine.error = RuntimeError("no such instruction")
    batcher = Batcher(engine, Settings(engine_threads=2))
    with pytest.raises(EngineFailed, match="no such instruction"):
        await batcher.start()
    assert not batcher.healthy


async def test_a_start_that_fails_in_one_thread_ends_the_others() -> None:
    class FailsOnce(FakeEngine):
        probed = threading.Lock()

        def run(self, batch: Sequence[EncodedText]) -> Probabilities:
            if self.probed.acquire(blocking=False):
                raise RuntimeError("no memory left")
            return super().run(batch)

    before = set(threading.enumerate())
    with pytest.raises(EngineFailed, match="no memory left"):
        await Batcher(FailsOnce(), Settings(engine_threads=2)).start()
    assert not [thread for thread in set(threading.enumerate()) - before if thread.name == "engine"]


async def test_stopping_answers_what_was_accepted_and_nothing_after(start: Started) -> None:
    batcher = await start(FakeEngine(seconds_per_token=0.001))
    accepted = [asyncio.create_task(batcher.score([f"text {n}"])) for n in range(10)]
    await asyncio.sleep(0)
    await batcher.stop()
    assert all(task.done() and task.exception() is None for task in accepted)
    assert "engine" not in [thread.name for thread in threading.enumerate()]
    with pytest.raises(NotReady):
        await batcher.score(["too late"])
    await batcher.stop()


async def test_texts_that_are_being_tokenised_count_as_waiting(start: Started) -> None:
    class SlowToEncode(FakeEngine):
        def encode(self, texts: Sequence[str]) -> list[EncodedText]:
            time.sleep(0.05 if len(texts) > 1 else 0)
            return super().encode(texts)

    batcher = await start(SlowToEncode(), queue_texts=500)
    bulk = asyncio.create_task(batcher.score(["a text of some length"] * 400))
    await asyncio.sleep(0.01)
    with pytest.raises(Overloaded, match="400 texts wait"):
        await batcher.score(["a text of some length"] * 400)
    assert (await bulk).probabilities.shape == (400, 3)
    assert (await batcher.score(["a text of some length"] * 400)).probabilities.shape == (400, 3)
