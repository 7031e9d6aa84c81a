"""Answers that need no engine: in memory, in Redis behind it, or being computed for another request right
now.

The key is a digest of everything the answer depends on: contract version, model digest and normalised text.
So no text is in Redis, and another model's answer cannot be found. Redis is optional at every moment: slow
or down is a miss.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from hashlib import blake2b
from typing import Final

import numpy as np
from cachetools import TTLCache

from feature_checks.contract import CONTRACT_VERSION, normalise
from serving import metrics
from serving.batcher import Batcher, Scores
from serving.errors import DeadlineExceeded, ServingError
from serving.redis_link import RedisLink, RedisUnavailable
from serving.settings import Settings

_ENTRY: Final = np.dtype([("format", "u1"), ("truncated", "u1"), ("probabilities", "<f4", 3)])
"""One cached answer: 14 bytes, the same in memory and in Redis."""

_FORMAT: Final = 1

_KEY_BYTES: Final = 16

_MEMORY = metrics.CACHE_LOOKUPS.series("memory")
_REDIS = metrics.CACHE_LOOKUPS.series("redis")
_IN_FLIGHT = metrics.CACHE_LOOKUPS.series("in_flight")
_MISS = metrics.CACHE_LOOKUPS.series("miss")

Entries = dict[bytes, bytes]
_InFlight = asyncio.Future[bytes | ServingError | None]
"""An answer on its way: an entry, an error that is everyone's, or None where its computer gave up."""


class ScoreCache:
    """Scores texts, by the batcher only where it must."""

    def __init__(self, settings: Settings) -> None:
        """`CACHE=off` sends every text to the batcher."""
        self._on = settings.cache == "on"
        self._ttl = settings.cache_ttl_seconds
        self._memory: TTLCache[bytes, bytes] = TTLCache(settings.cache_entries, settings.cache_ttl_seconds)
        self._in_flight: dict[bytes, _InFlight] = {}
        self._link = (
            RedisLink(settings.redis_url.get_secret_value(), "cache", settings.redis_timeout_seconds)
            if self._on and settings.redis_url
            else None
        )

    async def start(self) -> None:
        """Nothing to wait for: Redis is connected when it is first needed."""

    async def close(self) -> None:
        """Disconnect."""
        if self._link:
            await self._link.close()

    def recall(self, model_digest: str, texts: Sequence[str]) -> Scores | None:
        """Return the scores of texts that are all in memory; None where one is not, at the first such."""
        if not self._on:
            return None
        memory = self._memory
        try:
            entries = [memory[key] for key in _keys(model_digest, texts)]
        except KeyError:
            return None
        _MEMORY.inc(len(entries))
        return _unpack(entries, [True] * len(entries))

    async def score(
        self, batcher: Batcher, model_digest: str, texts: Sequence[str], deadline: float | None = None
    ) -> Scores:
        """Return the scores of one or more texts; raises what `Batcher.score` raises."""
        if not self._on:
            return await batcher.score(texts, deadline)
        keys = list(_keys(model_digest, texts))
        found = {key: entry for key in keys if (entry := self._memory.get(key)) is not None}
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in found}
        _MEMORY.inc(len(keys) - len(missing))
        computed: set[bytes] = set()
        while missing:
            found |= await self._resolve(batcher, missing, deadline, computed)
            missing = {key: text for key, text in missing.items() if key not in found}
        return _scores(keys, found, computed)

    async def _resolve(
        self, batcher: Batcher, missing: Mapping[bytes, str], deadline: float | None, computed: set[bytes]
    ) -> Entries:
        """Return what could be had of the missing: all of it, unless another request gave up on its part."""
        theirs = {key: future for key in missing if (future := self._in_flight.get(key))}
        ours = {key: text for key, text in missing.items() if key not in theirs}
        found: Entries = {}
        if ours:
            with self._computing(ours) as futures:
                found = await self._fetch(batcher, ours, deadline, computed)
                for key, future in futures.items():
                    future.set_result(found[key])
        return found | await _await_others(theirs, deadline)

    @contextmanager
    def _computing(self, keys: Mapping[bytes, str]) -> Iterator[dict[bytes, _InFlight]]:
        """Let others wait for `keys`; they are told of errors that would be theirs too."""
        loop = asyncio.get_running_loop()
        futures: dict[bytes, _InFlight] = {key: loop.create_future() for key in keys}
        self._in_flight |= futures
        failure: ServingError | None = None
        try:
            yield futures
        except DeadlineExceeded:
            raise
        except ServingError as error:
            failure = error
            raise
        finally:
            for key, future in futures.items():
                del self._in_flight[key]
                if not future.done():
                    future.set_result(failure)

    async def _fetch(
        self, batcher: Batcher, wanted: Mapping[bytes, str], deadline: float | None, computed: set[bytes]
    ) -> Entries:
        found = await self._from_redis(list(wanted))
        rest = [key for key in wanted if key not in found]
        _REDIS.inc(len(found))
        _MISS.inc(len(rest))
        if rest:
            scores = await batcher.score([wanted[key] for key in rest], deadline)
            fresh = dict(zip(rest, _entries(scores), strict=True))
            self._to_redis(fresh)
            found |= fresh
            computed.update(rest)
        self._memory.update(found)
        return found

    async def _from_redis(self, keys: list[bytes]) -> Entries:
        if self._link is None or self._link.open:
            return {}
        try:
            replies = await self._link.send("MGET", *map(_redis_key, keys))
        except RedisUnavailable:
            return {}
        return {key: entry for key, entry in zip(keys, replies, strict=True) if _is_entry(entry)}

    def _to_redis(self, entries: Entries) -> None:
        if self._link is not None and not self._link.open:
            for key, entry in entries.items():
                self._link.send("SET", _redis_key(key), entry, "EX", self._ttl)


async def _await_others(theirs: Mapping[bytes, _InFlight], deadline: float | None) -> Entries:
    found: Entries = {}
    if not theirs:
        return found
    try:
        async with asyncio.timeout_at(deadline):
            await asyncio.wait(theirs.values())
    except TimeoutError as error:
        raise DeadlineExceeded from error
    for key, future in theirs.items():
        answer = future.result()
        if isinstance(answer, ServingError):
            raise answer
        if answer is not None:
            found[key] = answer
    _IN_FLIGHT.inc(len(found))
    return found


def _keys(model_digest: str, texts: Sequence[str]) -> Iterator[bytes]:
    prefix = _prefix(model_digest)
    return (blake2b(prefix + normalise(text).encode(), digest_size=_KEY_BYTES).digest() for text in texts)


@lru_cache(maxsize=16)
def _prefix(model_digest: str) -> bytes:
    return f"{CONTRACT_VERSION}\0{model_digest}\0".encode()


def _redis_key(key: bytes) -> bytes:
    return b"sentiment:score:" + key


def _is_entry(value: object) -> bool:
    return isinstance(value, bytes) and len(value) == _ENTRY.itemsize and value[0] == _FORMAT


def _entries(scores: Scores) -> list[bytes]:
    packed = np.empty(len(scores.truncated), dtype=_ENTRY)
    packed["format"] = _FORMAT
    packed["truncated"] = scores.truncated
    packed["probabilities"] = scores.probabilities
    return [row.tobytes() for row in packed]


def _scores(keys: Sequence[bytes], found: Entries, computed: set[bytes]) -> Scores:
    return _unpack([found[key] for key in keys], [key not in computed for key in keys])


def _unpack(entries: Sequence[bytes], cached: Sequence[bool]) -> Scores:
    packed = np.frombuffer(b"".join(entries), dtype=_ENTRY)
    return Scores(packed["probabilities"], [entry[1] != 0 for entry in entries], cached)
