"""Scores texts with as little inference as possible.

A text is looked up in memory, then among the texts that other requests are having computed now, then in Redis; only
what is in none of them is computed, once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from serving.errors import DeadlineExceeded, EngineFailed, ServingError
from serving.inference.batcher import Batcher
from serving.inference.jobs import ANYBODY, Sender
from serving.inference.results import ScoredTexts
from serving.settings import Settings
from serving.state.score_store import Entries, ScoreStore, pack, text_keys, unpack
from serving.telemetry import metrics, tracing

_SLICE_TEXTS: Final = 256
"""The number of texts whose keys are computed at a time on the event loop, about a millisecond for short texts."""

_FROM_MEMORY = metrics.CACHE_LOOKUPS.series("memory")
_FROM_REDIS = metrics.CACHE_LOOKUPS.series("redis")
_FROM_IN_FLIGHT = metrics.CACHE_LOOKUPS.series("in_flight")
_MISSED = metrics.CACHE_LOOKUPS.series("miss")

_Pending = asyncio.Future[bytes | ServingError | None]
"""A pending result: the entry, an error shared by all waiters, or None if the computing request failed for a reason
of its own and waiters must retry."""


@dataclass(frozen=True)
class _Request:
    batcher: Batcher
    deadline: float | None
    sender: Sender
    computed: set[bytes] = field(default_factory=set)
    """The keys whose results were computed for this request."""


class ScoreCache:
    """Scores texts, using the batcher only for results that are nowhere else."""

    def __init__(self, settings: Settings) -> None:
        """With `CACHE=off` every text is computed."""
        self._store = ScoreStore(settings) if settings.cache == "on" else None
        self._pending: dict[bytes, _Pending] = {}

    async def close(self) -> None:
        """Disconnect from Redis."""
        if self._store:
            await self._store.close()

    def recall(self, model_digest: str, texts: Sequence[str]) -> ScoredTexts | None:
        """Return the results if all of them are in memory, else None. Many texts are left to `score`."""
        if self._store is None or len(texts) > _SLICE_TEXTS:
            return None
        entries = self._store.all_from_memory(text_keys(model_digest, texts))
        if entries is None:
            return None
        _FROM_MEMORY.inc(len(entries))
        return unpack(entries, [True] * len(entries))

    async def score(
        self,
        batcher: Batcher,
        model_digest: str,
        texts: Sequence[str],
        deadline: float | None = None,
        sender: Sender = ANYBODY,
    ) -> ScoredTexts:
        """Return the results of one or more texts; raises what `Batcher.score` raises."""
        if self._store is None:
            return await batcher.score(texts, deadline, sender=sender)
        keys = await _keys_in_slices(model_digest, texts)
        request = _Request(batcher, deadline, sender)
        entries = self._store.from_memory(keys)
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in entries}
        _FROM_MEMORY.inc(len(keys) - len(missing))
        while missing:
            entries |= await self._resolve(self._store, request, missing)
            missing = {key: text for key, text in missing.items() if key not in entries}
        return unpack([entries[key] for key in keys], [key not in request.computed for key in keys])

    async def _resolve(self, store: ScoreStore, request: _Request, missing: Mapping[bytes, str]) -> Entries:
        """Return the missing entries, except those that another request should have computed and did not."""
        theirs = {key: pending for key in missing if (pending := self._pending.get(key))}
        ours = {key: text for key, text in missing.items() if key not in theirs}
        entries: Entries = {}
        if ours:
            with self._computing(ours, entries):
                await self._fetch(store, request, ours, entries)
        return entries | await _await_others(theirs, request.deadline)

    @contextmanager
    def _computing(self, keys: Mapping[bytes, str], entries: Entries) -> Iterator[None]:
        """Let other requests wait for `keys`.

        Afterwards they get what is in `entries`. For the rest they get the error if it concerns the texts, and must
        retry if it concerns only this request: its deadline, its size, or its client that has left.
        """
        loop = asyncio.get_running_loop()
        pending: dict[bytes, _Pending] = {key: loop.create_future() for key in keys}
        self._pending |= pending
        failure: ServingError | None = None
        try:
            yield
        except EngineFailed as error:
            failure = error
            raise
        finally:
            for key, future in pending.items():
                del self._pending[key]
                future.set_result(entries.get(key, failure))

    async def _fetch(self, store: ScoreStore, request: _Request, wanted: Mapping[bytes, str], entries: Entries) -> None:
        """Add the entries of `wanted` to `entries`, from Redis or computed; on an error, those that are there."""
        began = time.monotonic()
        entries |= await store.from_redis(list(wanted))
        rest = [key for key in wanted if key not in entries]
        if tracing.tracer is not None:
            found = {"sentiment.cached": len(entries), "sentiment.missed": len(rest)}
            tracing.step("cache", began, time.monotonic(), found)
        _FROM_REDIS.inc(len(entries))
        _MISSED.inc(len(rest))
        if not rest:
            return

        def keep(indices: Sequence[int], scores: ScoredTexts) -> None:
            computed = pack([rest[index] for index in indices], scores)
            store.store(computed)
            entries.update(computed)
            request.computed.update(computed)

        scores = await request.batcher.score([wanted[key] for key in rest], request.deadline, keep, request.sender)
        keep(range(len(rest)), scores)


async def _keys_in_slices(model_digest: str, texts: Sequence[str]) -> list[bytes]:
    """Return the key of each text, letting other requests run in between."""
    keys = list(text_keys(model_digest, texts[:_SLICE_TEXTS]))
    for start in range(_SLICE_TEXTS, len(texts), _SLICE_TEXTS):
        await asyncio.sleep(0)
        keys += text_keys(model_digest, texts[start : start + _SLICE_TEXTS])
    return keys


async def _await_others(theirs: Mapping[bytes, _Pending], deadline: float | None) -> Entries:
    """Return the entries that other requests have computed. Raises their error if it concerns the texts."""
    entries: Entries = {}
    if not theirs:
        return entries
    try:
        async with asyncio.timeout_at(deadline):
            await asyncio.wait(theirs.values())
    except TimeoutError as error:
        raise DeadlineExceeded from error
    for key, future in theirs.items():
        result = future.result()
        if isinstance(result, ServingError):
            raise result
        if result is not None:
            entries[key] = result
    _FROM_IN_FLIGHT.inc(len(entries))
    return entries
