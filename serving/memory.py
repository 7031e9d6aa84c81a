"""Bounds the memory that requests take, over REST and gRPC together, and returns freed memory to the system."""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final

from serving.errors import DeadlineExceeded, Overloaded

_SLOW_SECONDS: Final = 0.1
"""A message that takes longer than this to arrive needs one of the places for slow messages."""

_SLOW_SHARE: Final = 0.5
"""The messages that arrive slowly may take this part of the budget together."""

_RELEASE_BYTES: Final = 64 * 1024 * 1024
_RELEASE_SECONDS: Final = 1.0
"""Freed memory is returned to the system so long after so many bytes of requests have been given back. Requests that
end together are then all freed, and a flood of them costs one release a second."""

_M_MMAP_THRESHOLD: Final = -3
"""The number of the parameter in glibc's <malloc.h>."""
_LARGE_BLOCK_BYTES: Final = 512 * 1024


def return_large_blocks() -> None:
    """Have the C library give every large block back to the system when it is freed.

    By default glibc raises its threshold up to 32 MiB after the first large block is freed, and keeps later ones: a
    few bodies of 16 MiB would stay in the memory of the process for ever.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BLOCK_BYTES)


def return_freed_memory() -> None:
    """Return freed small blocks to the system, where the C library can. Takes some milliseconds.

    glibc keeps them otherwise: the pieces in which large bodies arrived, and the arenas of threads that have ended.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", lambda _: 0)
    trim(0)


_FOUR_BYTE_LEADS: Final = tuple(bytes([lead]) for lead in range(0xF0, 0xF5))
"""The first bytes of the characters outside the Basic Multilingual Plane in UTF-8 (RFC 3629)."""


def most_text_bytes(content: bytes) -> int:
    """Return the most memory that the texts in a body can take, as they were sent and as the model reads them.

    A character takes as many bytes as the widest one of its text (PEP 393). JSON may write it as an escape.

    Example: `most_text_bytes('["a😀"]'.encode())` is 8 times the length of the body.
    """
    escapes = b"\\" in content and b"\\u" in content  # the first search takes a tenth of the second one's time
    if escapes and (b"\\ud" in content or b"\\uD" in content):
        width = 4
    elif content.isascii():
        width = 2 if escapes else 1
    else:
        width = 4 if any(lead in content for lead in _FOUR_BYTE_LEADS) else 2
    return 2 * width * len(content)


class BodyBudget:
    """How many bytes of requests the server holds at the same time. Belongs to the event loop.

    Example: `BodyBudget(100).take(101)` raises Overloaded.
    """

    def __init__(self, limit: int, release: Callable[[], None] = return_freed_memory) -> None:
        """Allow `limit` bytes in all; call `release` in a thread after much memory has been given back."""
        self.limit = limit
        self._release = release
        self._taken = 0
        self._given_back = 0
        """The bytes that have been given back since the last release."""

    @property
    def taken(self) -> int:
        """The bytes that are held now."""
        return self._taken

    def take(self, count: int) -> None:
        """Count `count` more bytes. Raises Overloaded if there would be more than the limit."""
        if self._taken + count > self.limit:
            raise Overloaded(
                f"body: the server holds {self._taken} bytes of other requests and takes at most {self.limit}; "
                "send the request again later",
                retry_after=1,
            )
        self._taken += count

    def give_back(self, count: int) -> None:
        """Count `count` bytes less."""
        self._taken -= count
        self.note_freed(count)

    def note_freed(self, count: int) -> None:
        """Note that `count` bytes have been freed, whether or not they were taken from the budget."""
        before, self._given_back = self._given_back, self._given_back + count
        if before < _RELEASE_BYTES <= self._given_back:
            asyncio.get_running_loop().call_later(_RELEASE_SECONDS, self._release_in_thread)

    def _release_in_thread(self) -> None:
        self._given_back = 0
        asyncio.get_running_loop().run_in_executor(None, self._release)

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

    def __init__(self, budget: BodyBudget, message_bytes: int) -> None:
        """Take the budget of all requests, and the bytes of the longest message."""
        self._budget = budget
        self._message_bytes = message_bytes
        self._places = max(1, int(_SLOW_SHARE * budget.limit) // message_bytes)

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
            self._budget.note_freed(self._message_bytes)
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
