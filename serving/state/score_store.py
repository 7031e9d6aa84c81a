"""Stored results of texts: in memory, and in Redis for all replicas.

The key is a digest of everything that the result depends on: contract version, model digest and normalised text. So
Redis holds no text, and a result of another model cannot be found. Redis is optional: if it is slow or down, a
look-up in it is a miss.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Final

import numpy as np
from cachetools import TTLCache

from feature_checks.contract import CONTRACT_VERSION
from serving.inference.results import ScoredTexts
from serving.settings import Settings
from serving.state.redis_link import RedisLink, RedisUnavailable

_ENTRY: Final = np.dtype([("format", "u1"), ("truncated", "u1"), ("probabilities", "<f4", 3)])
"""One entry: 14 bytes, the same in memory and in Redis."""

_FORMAT: Final = 2
"""Format 1 held answers for the first 256 tokens of a text."""

_KEY_BYTES: Final = 16

Entries = dict[bytes, bytes]
"""Packed results by key."""


class ScoreStore:
    """Looks results up and stores them. Belongs to one event loop.

    Example: `keys = list(text_keys(digest, texts))`, then `await store.from_redis(keys)` or `store.from_memory(keys)`.
    """

    def __init__(self, settings: Settings) -> None:
        """Redis is used if `settings.redis_url` is set, and connected at the first look-up."""
        self._seconds = settings.cache_ttl_seconds
        self._memory: TTLCache[bytes, bytes] = TTLCache(settings.cache_entries, settings.cache_ttl_seconds)
        self._redis = (
            RedisLink(settings.redis_url.get_secret_value(), "cache", settings.redis_timeout_seconds)
            if settings.redis_url
            else None
        )

    def all_from_memory(self, keys: Iterator[bytes]) -> list[bytes] | None:
        """Return the entries of all keys; None if one is missing, without looking at those after it."""
        memory = self._memory
        try:
            return [memory[key] for key in keys]
        except KeyError:
            return None

    def from_memory(self, keys: Sequence[bytes]) -> Entries:
        """Return the entries that are in memory."""
        return {key: entry for key in keys if (entry := self._memory.get(key)) is not None}

    async def from_redis(self, keys: list[bytes]) -> Entries:
        """Return the entries that Redis has, and keep them in memory."""
        if self._redis is None or self._redis.paused:
            return {}
        try:
            replies = await self._redis.send("MGET", *map(_redis_key, keys))
        except RedisUnavailable:
            return {}
        if not isinstance(replies, list) or len(replies) != len(keys):  # no Redis answers so
            return {}
        entries = {key: entry for key, entry in zip(keys, replies, strict=True) if _is_entry(entry)}
        self._memory.update(entries)
        return entries

    def store(self, entries: Entries) -> None:
        """Keep entries in memory, and send them to Redis without waiting for it."""
        self._memory.update(entries)
        if self._redis is not None and not self._redis.paused:
            for key, entry in entries.items():
                self._redis.post("SET", _redis_key(key), entry, "EX", self._seconds)

    async def close(self) -> None:
        """Send what waits for Redis, then disconnect."""
        if self._redis:
            await self._redis.close()


def text_keys(model_digest: str, texts: Sequence[str]) -> Iterator[bytes]:
    """Return the key of each normalised text."""
    prefix = _prefix(model_digest)
    return (blake2b(prefix + text.encode(), digest_size=_KEY_BYTES).digest() for text in texts)


def pack(keys: Sequence[bytes], scores: ScoredTexts) -> Entries:
    """Return the entries of results, by the keys of their texts."""
    packed = np.empty(len(keys), dtype=_ENTRY)
    packed["format"] = _FORMAT
    packed["truncated"] = scores.truncated
    packed["probabilities"] = scores.probabilities
    return dict(zip(keys, [row.tobytes() for row in packed], strict=True))


def unpack(entries: Sequence[bytes], cached: Sequence[bool]) -> ScoredTexts:
    """Return the results that entries hold; `cached` tells which of them were computed for an earlier request."""
    packed = np.frombuffer(b"".join(entries), dtype=_ENTRY)
    return ScoredTexts(packed["probabilities"], [entry[1] != 0 for entry in entries], cached)


@lru_cache(maxsize=16)
def _prefix(model_digest: str) -> bytes:
    return f"{CONTRACT_VERSION}\0{model_digest}\0".encode()


def _redis_key(key: bytes) -> bytes:
    return b"sentiment:score:" + key


def _is_entry(value: object) -> bool:
    return isinstance(value, bytes) and len(value) == _ENTRY.itemsize and value[0] == _FORMAT
