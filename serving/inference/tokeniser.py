"""Turns texts into token ids: short requests on the event loop, long ones slice by slice in threads beside it.

A text that is longer than the model reads at once becomes windows, which are rows of their own.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from functools import partial
from typing import Final

from feature_checks.classifier import EncodedText
from feature_checks.documents.windows import Rows, divide
from serving.errors import DeadlineExceeded, EngineFailed
from serving.inference.engine import Engine
from serving.telemetry import metrics, tracing

logger = logging.getLogger(__name__)

_INLINE_CHARS: Final = 4_000
"""The longest request that is tokenised on the event loop. It takes 0.1 ms if all words are known, and 3 ms if none is;
using a thread costs 0.1 ms."""

_SLICE_TEXTS: Final = 256
_SLICE_CHARS: Final = 100_000
"""The most texts, and the most characters, of a long request that are tokenised at a time. The tokeniser takes about 30
bytes of memory for a character. Texts of known words take one core; the others take every core while it works."""

_SECONDS: Final = metrics.TOKENISE_SECONDS.series()


class Tokeniser:
    """Tokenises the requests of one event loop.

    There are two threads, and bulk requests use one of them at a time, so that another request never waits for more
    than one slice of a bulk request.
    """

    def __init__(self, engine: Engine) -> None:
        """`engine` encodes the texts."""
        self._engine = engine
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="tokenise")
        self._bulk = asyncio.Lock()

    async def encode(self, texts: Sequence[str], deadline: float | None, *, bulk: bool = False) -> list[EncodedText]:
        """Return the token ids of each text; `deadline` is in the event loop's time.

        Raises EngineFailed if the engine cannot encode the texts, DeadlineExceeded if there is no time left.
        """
        started = time.monotonic()
        try:
            if sum(map(len, texts)) <= _INLINE_CHARS:
                encoded = self._engine.encode(texts)
            else:
                encoded = await self._in_slices(texts, deadline, bulk)
        except DeadlineExceeded:
            raise
        except Exception as error:
            logger.exception("tokenising %d texts failed", len(texts))
            raise EngineFailed(f"tokenising {len(texts)} texts failed; the log of the server has the cause") from error
        ended = time.monotonic()
        _SECONDS.observe(ended - started)
        if tracing.tracer is not None:
            tracing.step("tokenise", started, ended, {"sentiment.texts": len(texts)})
        return encoded

    async def divide(
        self, texts: Sequence[str], encoded: Sequence[EncodedText], deadline: float | None, *, bulk: bool = False
    ) -> Rows | None:
        """Return the rows of texts of which at least one is longer than the model reads at once; otherwise None.

        `encoded` are the tokens of the texts. Raises what `encode` raises.
        """
        if not any(text.truncated for text in encoded):
            return None
        try:
            parts = [
                await self._windows(text, deadline, bulk) if whole.truncated else [whole]
                for text, whole in zip(texts, encoded, strict=True)
            ]
        except DeadlineExceeded:
            raise
        except Exception as error:
            logger.exception("dividing %d texts into windows failed", len(texts))
            raise EngineFailed("dividing a long text failed; the log of the server has the cause") from error
        return Rows.of_parts(parts, self._engine.aggregation)

    def close(self) -> None:
        """End the threads without waiting for a slice that is being tokenised."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        del self._engine

    async def _windows(self, text: str, deadline: float | None, bulk: bool) -> list[EncodedText]:
        engine = self._engine
        work = partial(divide, text, engine.encode, engine.aggregation.window_tokens)
        windows = await self._in_thread(work, deadline, bulk)
        metrics.LONG_TEXTS.inc()
        metrics.WINDOWS.inc(len(windows))
        return windows

    async def _in_slices(self, texts: Sequence[str], deadline: float | None, bulk: bool) -> list[EncodedText]:
        encoded: list[EncodedText] = []
        for part in _slices(texts):
            encoded += await self._in_thread(partial(self._engine.encode, part), deadline, bulk)
        return encoded

    async def _in_thread(
        self, work: Callable[[], list[EncodedText]], deadline: float | None, bulk: bool
    ) -> list[EncodedText]:
        loop = asyncio.get_running_loop()
        async with AsyncExitStack() as turn:
            if bulk:
                await turn.enter_async_context(self._bulk)
            if deadline is not None and loop.time() >= deadline:
                raise DeadlineExceeded
            return await loop.run_in_executor(self._threads, work)


def _slices(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield the texts in order, as many at a time as a slice may hold, and at least one."""
    start = chars = 0
    for index, text in enumerate(texts):
        if index > start and (index - start == _SLICE_TEXTS or chars + len(text) > _SLICE_CHARS):
            yield texts[start:index]
            start, chars = index, 0
        chars += len(text)
    yield texts[start:]
