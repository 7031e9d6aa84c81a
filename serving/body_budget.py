"""Bounds the memory that requests take between their arrival and their reply, over REST and gRPC together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final

from serving.errors import DeadlineExceeded, Overloaded

_SLOW_SECONDS: Final = 0.1
"""A message that takes longer than this to arrive needs one of the places for slow messages."""

_SLOW_SHARE: Final = 0.5
"""The messages that arrive slowly may take this part of the budget together."""


class BodyBudget:
    """How many bytes of requests the server holds at the same time. Belongs to the event loop.

    Example: `BodyBudget(100).take(101)` raises Overloaded.
    """

    def __init__(self, limit: int) -> None:
        """Allow `limit` bytes in all."""
        self._limit = limit
        self._taken = 0

    @property
    def taken(self) -> int:
        """The bytes that are held now."""
        return self._taken

    def take(self, count: int) -> None:
        """Count `count` more bytes. Raises Overloaded if there would be more than the limit."""
        if self._taken + count > self._limit:
            raise Overloaded(
                f"body: the server holds {self._taken} bytes of other requests and takes at most {self._limit}; "
                "send the request again later",
                retry_after=1,
            )
        self._taken += count

    def give_back(self, count: int) -> None:
        """Count `count` bytes less."""
        self._taken -= count

    @contextmanager
    def holding(self, count: int) -> Iterator[None]:
        """Take `count` bytes for the duration of the context. Raises Overloaded as `take` does."""
        self.take(count)
        try:
            yield
        finally:
            self.give_back(count)


class MessageIntake:
    """Receives the messages of gRPC requests. Only few may be slow at a time, because each may hold a whole message.

    Nobody knows how long a gRPC message is before it has arrived, so it cannot be counted while it arrives.
    """

    def __init__(self, budget_bytes: int, message_bytes: int) -> None:
        """Take the budget of all requests, and the longest message, in bytes."""
        self._places = max(1, int(_SLOW_SHARE * budget_bytes) // message_bytes)

    async def read(self, receive: Callable[[], Awaitable[bytes]], deadline: float) -> bytes:
        """Return the message that `receive` waits for; `deadline` is in the event loop's time.

        Raises Overloaded if it arrives slowly and too many others do, DeadlineExceeded if it does not arrive in time.
        """
        loop = asyncio.get_running_loop()
        slow: list[bool] = []
        timer: asyncio.TimerHandle | None = None
        try:
            async with asyncio.timeout_at(deadline) as limit:
                timer = loop.call_later(_SLOW_SECONDS, self._slow_down, limit, slow)
                return await receive()
        except TimeoutError as error:
            if slow == [False]:
                raise Overloaded("too many large messages arrive slowly; try again later", retry_after=1) from error
            raise DeadlineExceeded from error
        finally:
            if timer is not None:
                timer.cancel()
            self._places += sum(slow)

    def _slow_down(self, limit: asyncio.Timeout, slow: list[bool]) -> None:
        """Give a slow message one of the places, or end its wait if there is none."""
        slow.append(self._places > 0)
        if self._places > 0:
            self._places -= 1
        else:
            limit.reschedule(0)
