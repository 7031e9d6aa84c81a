"""Texts that are longer than the model reads at once, through the batcher."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import numpy as np
import pytest

from feature_checks.classifier import EncodedText, Probabilities
from feature_checks.documents.windows import Rows
from serving.errors import DeadlineExceeded, EngineFailed
from serving.inference.batcher import Batcher
from serving.inference.engine import FakeEngine
from serving.inference.results import ScoredTexts
from serving.settings import Settings
from serving.telemetry.metrics import LONG_TEXTS, WINDOWS

LONG = "It has two buttons. " * 200
Start = Callable[..., Any]


class Counting(FakeEngine):
    """Counts its calls, and fails or becomes slow for the rows that a test names."""

    def __init__(self) -> None:
        super().__init__()
        self.encoded: list[str] = []
        self.rows = 0
        self.pause: Callable[[Sequence[EncodedText]], None] = lambda _: None

    def encode(self, texts: Sequence[str]) -> list[EncodedText]:
        self.encoded += texts
        return super().encode(texts)

    def run(self, batch: Sequence[EncodedText]) -> Probabilities:
        self.rows += len(batch)
        self.pause(batch)
        return super().run(batch)


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Start a batcher with one thread, and stop it afterwards."""
    made: list[Batcher] = []

    async def begin(engine: FakeEngine, **changes: Any) -> Batcher:
        made.append(Batcher(engine, Settings(engine_threads=1, prediction_log="off", **changes)))
        await made[-1].start()
        return made[-1]

    yield begin
    for batcher in made:
        await batcher.stop()


async def test_a_long_text_is_read_in_full_among_short_ones(start: Start) -> None:
    batcher, engine = await start(FakeEngine()), FakeEngine()
    texts = ["short", LONG.strip(), "another", LONG + "The end."]
    long_texts, windows = LONG_TEXTS._value.get(), WINDOWS._value.get()
    scores = await batcher.score(texts)
    rows = Rows.of(texts, engine.encode(texts), engine.encode, engine.aggregation)
    np.testing.assert_array_equal(scores.probabilities, rows.combine(engine.run(rows.encoded)))
    assert scores.truncated == [False] * 4
    assert np.abs(scores.probabilities[1] - scores.probabilities[3]).max() > 1e-5
    assert LONG_TEXTS._value.get() - long_texts == 2
    assert WINDOWS._value.get() - windows == len(rows.encoded) - 2


async def test_a_short_text_is_encoded_once_and_runs_as_one_row(start: Start) -> None:
    engine = Counting()
    batcher = await start(engine)
    engine.encoded.clear()
    engine.rows = 0
    texts = ["word " * 254, "It works. I like it."]
    scores = await batcher.score(texts)
    assert (engine.encoded, engine.rows) == (texts, 2)
    alone = FakeEngine()
    assert scores.probabilities.tobytes() == alone.run(alone.encode(texts)).tobytes()


async def test_an_engine_that_cannot_encode_a_window_fails_the_request_alone(start: Start) -> None:
    class Broken(Counting):
        def encode(self, texts: Sequence[str]) -> list[EncodedText]:
            if "Break here." in texts:
                raise ZeroDivisionError
            return super().encode(texts)

    batcher = await start(Broken())
    with pytest.raises(EngineFailed, match="dividing a long text"):
        await batcher.score([LONG + "Break here."])
    await batcher.score([LONG])


async def test_a_deadline_keeps_the_texts_whose_windows_are_all_computed(start: Start) -> None:
    engine = Counting()
    batcher = await start(engine, batch_texts=1)
    found: list[tuple[list[int], ScoredTexts]] = []

    def pause(batch: Sequence[EncodedText]) -> None:
        if len(batch[0].ids) > 20:  # the windows of the long text come after the short texts
            time.sleep(0.05)

    engine.pause = pause
    texts = ["short", LONG.strip(), "another"]
    with pytest.raises(DeadlineExceeded):
        await batcher.score(texts, asyncio.get_running_loop().time() + 0.2, lambda *part: found.append(part))
    ((indices, scores),) = found
    assert indices == [0, 2]
    alone = FakeEngine()
    np.testing.assert_array_equal(scores.probabilities, alone.run(alone.encode(["short", "another"])))
