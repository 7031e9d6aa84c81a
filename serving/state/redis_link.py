"""One connection to a Redis server that may be slow or down, for uses that can do without it.

The commands of all requests that arrive during a round trip are sent together in the next one, so a busy server pays
for the client once per round trip, not once per request.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from serving.telemetry import metrics

if TYPE_CHECKING:
    from redis.asyncio import Redis

logger = logging.getLogger(__name__)

_ROUND_TRIP_COMMANDS: Final = 256
"""The largest number of commands in one round trip, so that packing them never blocks the event loop for long."""

_MAX_WAITING: Final = 20_000
"""The number of commands of each kind, awaited or posted, that may wait; further ones fail at once."""

_AT_ONCE_SECONDS: Final = 0.002
"""A command that waited for less than this gets the timeout of its round trip, which is then also its own."""

_FAILURES_TO_PAUSE: Final = 3
_PAUSE_SECONDS: Final = 2.0
"""The circuit breaker: after three failed round trips in a row, Redis gets no command for this long."""

_Command = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class _Awaited:
    command: _Command
    reply: asyncio.Future[Any]
    expiry: asyncio.TimerHandle
    """Ends the wait of a command that does not get its turn in time."""
    queued_at: float
    """In `time.monotonic` seconds."""


class RedisUnavailable(Exception):
    """Redis did not answer in time, answered with an error, or is paused."""


class RedisLink:
    """Sends commands, one round trip at a time. Belongs to one event loop.

    Example: `await link.send("GET", key)`; `link.post("SET", key, value)` for a command whose reply does not matter.
    """

    def __init__(self, url: str, use: str, timeout: float) -> None:
        """`use` names the link in metrics; `timeout` bounds each call in seconds, the wait for its turn included."""
        self._url = url
        self._use = use
        self._timeout = timeout
        self._awaited: deque[_Awaited] = deque()
        self._posted: deque[_Command] = deque()
        self._client: Redis | None = None
        self._pump: asyncio.Task[None] | None = None
        self._failures = 0
        self._paused_until = 0.0

    @property
    def paused(self) -> bool:
        """Whether the circuit breaker is open: no command is sent."""
        return time.monotonic() < self._paused_until

    def send(self, *command: object) -> asyncio.Future[Any]:
        """Queue a command; its future gets the reply, or RedisUnavailable after at most `timeout` seconds."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        if self.paused or len(self._awaited) >= _MAX_WAITING:
            self._fail(future, "no command is sent now")
            return future
        expiry = loop.call_later(self._timeout, self._expire, future)
        self._awaited.append(_Awaited(command, future, expiry, time.monotonic()))
        self._start()
        return future

    def post(self, *command: object) -> None:
        """Queue a command whose reply does not matter, behind every command that is awaited."""
        if not self.paused and len(self._posted) < _MAX_WAITING:
            self._posted.append(command)
            self._start()

    async def close(self) -> None:
        """Send what waits, then disconnect."""
        if self._pump:
            await self._pump
        if self._client:
            await self._client.aclose()

    def _start(self) -> None:
        if self._pump is None:
            self._pump = asyncio.create_task(self._run())

    async def _run(self) -> None:
        try:
            while self._awaited or self._posted:
                awaited = self._take_awaited()
                room = min(_ROUND_TRIP_COMMANDS - len(awaited), len(self._posted))
                posted = [self._posted.popleft() for _ in range(room)]
                if awaited or posted:
                    await self._round_trip(awaited, posted)
        finally:
            self._pump = None

    def _take_awaited(self) -> list[_Awaited]:
        """Return the commands of the next round trip whose callers still wait."""
        taken: list[_Awaited] = []
        now = time.monotonic()
        while self._awaited and len(taken) < _ROUND_TRIP_COMMANDS:
            waiting = self._awaited.popleft()
            if not waiting.reply.done():
                taken.append(waiting)
            if now - waiting.queued_at < _AT_ONCE_SECONDS or waiting.reply.done():
                waiting.expiry.cancel()
        return taken

    async def _round_trip(self, awaited: list[_Awaited], posted: list[_Command]) -> None:
        commands = [*(each.command for each in awaited), *posted]
        try:
            async with asyncio.timeout(self._timeout):
                replies = await self._execute(commands)
        except Exception as error:  # requests do without Redis, whatever the error is
            replies = [error] * len(commands)
        for each, reply in zip(awaited, replies, strict=False):
            each.expiry.cancel()
            if isinstance(reply, Exception):
                self._fail(each.reply, type(reply).__name__, reply)
            elif not each.reply.done():
                each.reply.set_result(reply)
        errors = [reply for reply in replies if isinstance(reply, Exception)]
        if errors:
            self._note_failure(errors[0])
        else:
            self._note_success()

    async def _execute(self, commands: list[_Command]) -> list[Any]:
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

    def _expire(self, future: asyncio.Future[Any]) -> None:
        if not future.done():
            metrics.REDIS_FAILURES.labels(self._use).inc()
            self._fail(future, f"no reply within {self._timeout:g} s")

    def _fail(self, future: asyncio.Future[Any], reason: str, cause: Exception | None = None) -> None:
        if not future.done():
            failure = RedisUnavailable(f"{self._use}: {reason}")
            failure.__cause__ = cause
            future.set_exception(failure)
            future.exception()  # a caller that does not wait is not warned about

    def _note_success(self) -> None:
        if self._failures:
            logger.info("%s: Redis answers again", self._use)
        self._failures = 0
        metrics.REDIS_BREAKER_OPEN.labels(self._use).set(0)

    def _note_failure(self, error: Exception) -> None:
        metrics.REDIS_FAILURES.labels(self._use).inc()
        self._failures += 1
        if self._failures < _FAILURES_TO_PAUSE:
            return
        if self._failures == _FAILURES_TO_PAUSE:
            # The text of the error may repeat the command or the address; its kind says what is wrong.
            logger.warning("%s: Redis fails (%s); working without it", self._use, type(error).__name__)
        self._paused_until = time.monotonic() + _PAUSE_SECONDS
        metrics.REDIS_BREAKER_OPEN.labels(self._use).set(1)
        waiting, self._awaited = self._awaited, deque()
        self._posted.clear()
        for each in waiting:
            each.expiry.cancel()
            self._fail(each.reply, "no command is sent now")
