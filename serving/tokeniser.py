"""Texts → token ids: short requests on the event loop, long ones slice by slice in one thread beside it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from feature_checks.classifier import EncodedText
from serving import metrics
from serving.engine import Engine
from serving.errors import DeadlineExceeded, EngineFailed

_INLINE_CHARS: Final = 4_000
"""The longest request that is tokenised on the event loop: about 0.3 ms; a hand-over costs 0.1."""

_SLICE: Final = 256
"""Texts of a long request that are tokenised at a time."""

_SECONDS: Final = metrics.TOKENISE_SECONDS.series()


class Tokeniser:
    """Belongs to one event loop."""

    def __init__(self, engine: Engine) -> None:
        """`engine` does the work."""
        self._engine = engine
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="tokenise")
        self.texts = 0
        """Texts of long requests that are not all tokenised yet."""

    async def encode(self, texts: Sequence[str], deadline: float | None) -> list[EncodedText]:
        """Return each text's token ids; raises EngineFailed, or DeadlineExceeded (`deadline` in the loop's time)."""
        started = time.perf_counter()
        try:
            if sum(map(len, texts)) <= _INLINE_CHARS:
                encoded = self._engine.encode(texts)
            else:
                encoded = await self._in_slices(texts, deadline)
        except DeadlineExceeded:
            raise
        except Exception as error:
            raise EngineFailed(f"tokenising {len(texts)} texts failed: {error!r}") from error
        _SECONDS.observe(time.perf_counter() - started)
        return encoded

    def close(self) -> None:
        """End the thread; nothing may be under way."""
        self._thread.shutdown()
        del self._engine

    async def _in_slices(self, texts: Sequence[str], deadline: float | None) -> list[EncodedText]:
        loop = asyncio.get_running_loop()
        encoded: list[EncodedText] = []
        self.texts += len(texts)
        try:
            for start in range(0, len(texts), _SLICE):
                if deadline is not None and loop.time() >= deadline:
                    raise DeadlineExceeded
                part = texts[start : start + _SLICE]
                encoded += await loop.run_in_executor(self._thread, self._engine.encode, part)
        finally:
            self.texts -= len(texts)
        return encoded
