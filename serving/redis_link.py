"""One connection to a Redis that may be slow or down, for uses that can do without it.

Commands of all requests that arrive while a round trip is under way go out together in the next one, so a
busy server pays for the client once per round trip and not once per request.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, Final, cast

from serving import metrics

if TYPE_CHECKING:
    from redis.asyncio import Redis

logger = logging.getLogger(__name__)

_ROUND_TRIP_COMMANDS: Final = 256
"""Most commands in one round trip, so that packing them never holds the event loop for long."""

_MAX_WAITING: Final = 20_000
"""Commands that may wait for a round trip; past it they fail at once."""

_FAILURES_TO_OPEN: Final = 3
_OPEN_SECONDS: Final = 2.0
"""The circuit breaker: after three failures in a row Redis is left alone for this long, then tried once."""

_Command = tuple[tuple[object, ...], asyncio.Future[Any]]


class RedisUnavailable(Exception):
    """Redis did not answer in time, or is being left alone."""


class RedisLink:
    """Sends commands in round trips, one at a time; every failure is RedisUnavailable."""

    def __init__(self, url: str, use: str, timeout: float) -> None:
        """`use` names the link in metrics; `timeout` bounds connecting and each round trip, in seconds."""
        self._url = url
        self._use = use
        self._timeout = timeout
        self._waiting: deque[_Command] = deque()
        self._client: Redis | None = None
        self._pump: asyncio.Task[None] | None = None
        self._failures = 0
        self._closed_again_at = 0.0

    @property
    def open(self) -> bool:
        """Tell whether the breaker is open: Redis is being left alone."""
        return time.monotonic() < self._closed_again_at

    def send(self, *command: object) -> asyncio.Future[Any]:
        """Queue a command; its future gets the reply or RedisUnavailable. Nobody need wait for it."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self.open or len(self._waiting) >= _MAX_WAITING:
            future.set_exception(RedisUnavailable(f"{self._use}: Redis is being left alone"))
            future.exception()
            return future
        self._waiting.append((command, future))
        if self._pump is None:
            self._pump = asyncio.create_task(self._run())
        return future

    async def close(self) -> None:
        """Send what waits, then disconnect."""
        if self._pump:
            await self._pump
        if self._client:
            await self._client.aclose()

    async def _run(self) -> None:
        try:
            while self._waiting:
                count = min(len(self._waiting), _ROUND_TRIP_COMMANDS)
                await self._round_trip([self._waiting.popleft() for _ in range(count)])
        finally:
            self._pump = None

    async def _round_trip(self, commands: list[_Command]) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                replies = await self._execute([command for command, _ in commands])
        except Exception as error:  # whatever it was: requests do without Redis, and must not wait for it
            self._note_failure(error)
            replies = [error] * len(commands)
        else:
            self._note_success()
        for (_, future), reply in zip(commands, replies, strict=True):
            if not future.done():
                self._resolve(future, reply)

    async def _execute(self, commands: list[tuple[object, ...]]) -> list[Any]:
        async with self._connect().pipeline(transaction=False) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)
            return await cast("Awaitable[list[Any]]", pipeline.execute(raise_on_error=False))

    def _connect(self) -> Redis:
        if self._client is None:
            from redis.asyncio import Redis
            from redis.asyncio.retry import Retry
            from redis.backoff import NoBackoff

            self._client = Redis.from_url(
                self._url,
                socket_timeout=self._timeout,
                socket_connect_timeout=self._timeout,
                retry=Retry(NoBackoff(), 0),
            )
        return self._client

    def _resolve(self, future: asyncio.Future[Any], reply: Any) -> None:
        if isinstance(reply, Exception):
            failure = RedisUnavailable(f"{self._use}: {type(reply).__name__}: {reply}")
            failure.__cause__ = reply
            future.set_exception(failure)
            future.exception()  # a caller that does not wait is not warned about
        else:
            future.set_result(reply)

    def _note_success(self) -> None:
        if self._failures:
            logger.info("%s: Redis answers again", self._use)
        self._failures = 0
        metrics.REDIS_BREAKER_OPEN.labels(self._use).set(0)

    def _note_failure(self, error: BaseException) -> None:
        metrics.REDIS_FAILURES.labels(self._use).inc()
        self._failures += 1
        if self._failures >= _FAILURES_TO_OPEN:
            if self._failures == _FAILURES_TO_OPEN:
                logger.warning("%s: Redis fails (%r); working without it", self._use, error)
            self._closed_again_at = time.monotonic() + _OPEN_SECONDS
            metrics.REDIS_BREAKER_OPEN.labels(self._use).set(1)
