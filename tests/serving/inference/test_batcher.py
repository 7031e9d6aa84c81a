"""The batcher: right results, no wait when idle, refusal when full, and an error for every failure."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress

import numpy as np
import pytest

from feature_checks.bundle import Bundle
from feature_checks.classifier import EncodedText, Probabilities
from feature_checks.documents.reading import document_probabilities
from serving.errors import DeadlineExceeded, EngineFailed, NotReady, Overloaded
from serving.inference import batcher as batcher_module
from serving.inference.batcher import Batcher
from serving.inference.engine import Engine, FakeEngine, OnnxEngine
from serving.inference.results import ScoredTexts
from serving.settings import Settings
from serving.telemetry.metrics import ENGINE_HANGS
from tests.support.waiting import eventually

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
    """An engine that raises `error` while it is set, or once it has run `after` batches."""

    error: BaseException | None = None
    after = 1_000_000

    def run(self, batch: Sequence[EncodedText]) -> Probabilities:
        self.after -= 1
        if self.error is not None:
            raise self.error
        if self.after < 0:
            raise RuntimeError("no batches left")
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
    expected = document_probabilities(engine, texts)
    assert any(text.truncated for text in engine.encode(texts))
    np.testing.assert_allclose(found, expected, atol=1e-4)


async def test_requests_that_wait_share_a_batch(start: Started) -> None:
    engine = Gate()
    batcher = await start(engine)
    first = await fill(engine, batcher)
    others = [asyncio.create_task(batcher.score([f"text {n}"])) for n in range(8)]
    await eventually(lambda: batcher.queued_texts == 8)
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
    batcher = await start(engine, queue_texts=4)
    first = await fill(engine, batcher)
    waiting = asyncio.create_task(batcher.score(["a", "b"]))
    await eventually(lambda: batcher.queued_texts == 2)
    with pytest.raises(Overloaded, match=r"3 texts .*wait; at most 4 texts") as refused:
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
    answered.clear()
    refused.clear()
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
    await eventually(lambda: batcher.queued_texts == 1)
    gone.cancel()
    with suppress(asyncio.CancelledError):
        await gone
    engine.open()
    await first
    await batcher.score(["next"])
    assert engine.batches == [1, 1]


async def test_a_passed_deadline_is_an_error_and_not_computed(start: Started) -> None:
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
    await eventually(lambda: batcher.queued_texts == 500)
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
    await eventually(lambda: batcher.queued_texts)
    for number in range(5):
        await batcher.score([f"single {number}"])
    assert not bulk.done()
    assert (await bulk).probabilities.shape == (600, 3)


async def test_thirteen_bulk_requests_refuse_no_single_text_and_all_finish(start: Started) -> None:
    batcher = await start(FakeEngine(seconds_per_token=0.000002), queue_seconds=0.1, engine_threads=2)
    deadline = asyncio.get_running_loop().time() + 300
    texts = ["some words of a review"] * 2_300
    bulk = [asyncio.create_task(batcher.score(texts, deadline)) for _ in range(13)]
    await eventually(lambda: batcher.queued_texts > 20_000)
    for number in range(20):
        await batcher.score([f"single {number}"])
    assert not all(task.done() for task in bulk)
    assert [scores.probabilities.shape for scores in await asyncio.gather(*bulk)] == [(2_300, 3)] * 13


async def test_bulk_that_cannot_finish_before_its_deadline_is_refused_at_once(start: Started) -> None:
    engine = FakeEngine(seconds_per_token=0.0002)
    batcher = await start(engine)
    await batcher.score(["some words of a review"] * 400)  # measures the speed
    loop = asyncio.get_running_loop()
    with pytest.raises(Overloaded, match="its deadline is in 0 s: send fewer texts") as refused:
        await batcher.score(["some words of a review"] * 5_000, loop.time() + 0.3)
    assert refused.value.retry_after is not None
    assert batcher.queued_texts == 0


async def test_single_texts_do_not_make_bulk_seem_slow(start: Started) -> None:
    batcher = await start(FakeEngine(seconds_per_token=0.00001))
    loop, texts = asyncio.get_running_loop(), ["some words of a review"] * 3_000
    first = asyncio.create_task(batcher.score(texts, loop.time() + 60))
    await eventually(lambda: batcher.queued_texts)
    for number in range(20):
        await batcher.score([f"single {number}"])
    await batcher.score(texts, loop.time() + 60)
    await first


async def test_bulk_that_would_make_another_late_is_refused(start: Started) -> None:
    batcher = await start(FakeEngine(seconds_per_token=0.0001))
    await batcher.score(["some words of a review"] * 100)
    loop, texts = asyncio.get_running_loop(), ["some words of a review"] * 2_000
    first = asyncio.create_task(batcher.score(texts, loop.time() + 3))
    await eventually(lambda: batcher.queued_texts)
    with pytest.raises(Overloaded, match="another bulk request"):
        await batcher.score(texts, loop.time() + 300)
    first.cancel()
    with suppress(asyncio.CancelledError):
        await first


async def test_the_queue_is_bounded_by_tokens(start: Started) -> None:
    batcher = await start(FakeEngine(), queue_tokens=10_000)
    with pytest.raises(Overloaded, match="at most 200000 texts and 10000 tokens"):
        await batcher.score(["word " * 100] * 200)
    await batcher.score(["fine"])


async def test_what_a_broken_request_had_computed_is_handed_over(start: Started) -> None:
    engine = Failing()
    batcher = await start(engine)
    kept: dict[int, list[float]] = {}

    def keep(indices: list[int], scores: ScoredTexts) -> None:
        kept.update(zip(indices, scores.probabilities.tolist(), strict=True))

    engine.after = 10
    texts = [f"text number {n} " * (1 + n % 3) for n in range(600)]
    with pytest.raises(EngineFailed):
        await batcher.score(texts, keep_finished=keep)
    assert 100 <= len(kept) < 600
    alone = FakeEngine()
    for index, probabilities in kept.items():
        assert probabilities == alone.run(alone.encode([texts[index]]))[0].tolist()


async def test_a_failed_batch_reaches_every_waiter_and_only_them(
    start: Started, caplog: pytest.LogCaptureFixture
) -> None:
    engine = Failing()
    batcher = await start(engine)
    engine.error = RuntimeError("bad arithmetic")
    outcomes = await asyncio.gather(*(batcher.score([f"text {n}"]) for n in range(20)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [EngineFailed] * 20
    assert {str(outcome) for outcome in outcomes} == {"inference failed; the log of the server has the cause"}
    assert "bad arithmetic" in caplog.text
    engine.error = None
    assert batcher.healthy
    assert (await batcher.score(["fine again"])).probabilities.shape == (1, 3)


async def test_a_failing_tokeniser_is_an_error_without_internals(
    start: Started, caplog: pytest.LogCaptureFixture
) -> None:
    class Unreadable(FakeEngine):
        broken = False

        def encode(self, texts: Sequence[str]) -> list[EncodedText]:
            if self.broken:
                raise RuntimeError("no vocabulary")
            return super().encode(texts)

    engine = Unreadable()
    batcher = await start(engine)
    engine.broken = True
    with pytest.raises(EngineFailed, match=r"tokenising 1 texts failed; the log of the server has the cause$"):
        await batcher.score(["text"])
    assert "no vocabulary" in caplog.text


async def test_a_dead_worker_fails_its_waiters_then_is_replaced(start: Started) -> None:
    engine = Failing()
    batcher = await start(engine)
    engine.error = SystemExit("the worker ends")
    with pytest.raises(EngineFailed) as failed:
        await batcher.score(["text"])
    assert failed.value.__cause__ is engine.error
    await eventually(lambda: not batcher.healthy)
    with pytest.raises((NotReady, EngineFailed)):
        await batcher.score(["text"])
    engine.error = None
    await eventually(lambda: batcher.healthy)
    assert (await batcher.score(["fine again"])).probabilities.shape == (1, 3)


def hangs() -> float:
    return float(ENGINE_HANGS._value.get())


async def test_a_hung_engine_call_fails_its_batch_and_its_worker_is_replaced(start: Started) -> None:
    engine = Gate()
    batcher = await start(engine, engine_timeout_seconds=0.2)
    before, first = hangs(), await fill(engine, batcher)
    waiting = asyncio.create_task(batcher.score(["waits behind it"]))
    with pytest.raises(NotReady, match="inference took too long"):
        await first
    assert not batcher.healthy
    assert hangs() >= before + 1
    engine.open()
    await eventually(lambda: batcher.healthy)
    await asyncio.wait([waiting])
    assert (await batcher.score(["fine again"])).probabilities.shape == (1, 3)


async def test_the_late_result_of_a_hung_call_is_ignored(start: Started) -> None:
    engine = Gate()
    batcher = await start(engine, engine_timeout_seconds=0.2, engine_threads=2)
    first = await fill(engine, batcher)
    with pytest.raises(NotReady):
        await first
    engine.open()
    await eventually(lambda: batcher.healthy)
    await eventually(lambda: sum(thread.name == "engine" for thread in threading.enumerate()) == 2)


async def test_an_engine_that_hangs_at_the_start_is_refused() -> None:
    engine = Gate()
    engine.close()
    batcher = Batcher(engine, Settings(engine_threads=1, engine_timeout_seconds=0.2))
    with pytest.raises(EngineFailed) as refused:
        await batcher.start()
    assert isinstance(refused.value.__cause__, TimeoutError)
    engine.open()


async def test_stopping_does_not_wait_for_a_hung_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batcher_module, "_JOIN_SECONDS", 0.1)
    engine = Gate()
    batcher = Batcher(engine, Settings(engine_threads=1, drain_seconds=0.2))
    await batcher.start()
    first = await fill(engine, batcher)
    async with asyncio.timeout(10):
        await batcher.stop()
    with pytest.raises(NotReady, match="shut down"):
        await first
    engine.open()


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (lambda right: right * np.nan, "not finite"),
        (lambda right: right[:-1], r"the shape \(1, 3\); expected \(2, 3\)"),
        (lambda right: right[:, :2], r"the shape \(2, 2\); expected \(2, 3\)"),
    ],
)
async def test_a_result_that_is_no_probabilities_is_an_error(
    start: Started, caplog: pytest.LogCaptureFixture, wrong: Callable[[Probabilities], Probabilities], reason: str
) -> None:
    class Broken(FakeEngine):
        broken = False

        def run(self, batch: Sequence[EncodedText]) -> Probabilities:
            right = super().run(batch)
            return wrong(right) if self.broken else right

    engine = Broken()
    batcher = await start(engine)
    engine.broken = True
    async with asyncio.timeout(10):
        with pytest.raises(EngineFailed):
            await batcher.score(["good", "bad"])
    assert re.search(reason, caplog.text)
    assert batcher.healthy


async def test_an_engine_that_cannot_run_is_refused_at_the_start() -> None:
    engine = Failing()
    engine.error = RuntimeError("no such instruction")
    batcher = Batcher(engine, Settings(engine_threads=2))
    with pytest.raises(EngineFailed) as refused:
        await batcher.start()
    assert refused.value.__cause__ is engine.error
    assert not batcher.healthy


async def test_a_start_that_fails_in_one_thread_ends_the_others() -> None:
    class FailsOnce(FakeEngine):
        probed = threading.Lock()

        def run(self, batch: Sequence[EncodedText]) -> Probabilities:
            if self.probed.acquire(blocking=False):
                raise RuntimeError("no memory left")
            return super().run(batch)

    before = set(threading.enumerate())
    with pytest.raises(EngineFailed):
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
        entered = threading.Event()
        released = threading.Event()

        def encode(self, texts: Sequence[str]) -> list[EncodedText]:
            if len(texts) > 1:
                self.entered.set()
                assert self.released.wait(20)
            return super().encode(texts)

    engine = SlowToEncode()
    batcher = await start(engine, queue_texts=500)
    bulk = asyncio.create_task(batcher.score(["a text of some length"] * 400))
    await asyncio.to_thread(engine.entered.wait)
    with pytest.raises(Overloaded, match=r"400 texts .*wait"):
        await batcher.score(["a text of some length"] * 400)
    engine.released.set()
    assert (await bulk).probabilities.shape == (400, 3)
    assert (await batcher.score(["a text of some length"] * 400)).probabilities.shape == (400, 3)


async def test_long_texts_are_tokenised_few_at_a_time(start: Started) -> None:
    slices: list[list[str]] = []

    class Recording(FakeEngine):
        def encode(self, texts: Sequence[str]) -> list[EncodedText]:
            slices.append(list(texts))
            return super().encode(texts)

    batcher = await start(Recording())
    slices.clear()
    texts = [f"{number} " + "a" * (20_000 if number < 30 else 10) for number in range(600)]
    await batcher.score(texts)
    assert [text for part in slices for text in part] == texts
    assert max(len(part) for part in slices) <= 256
    assert max(sum(map(len, part)) for part in slices) <= 120_000
