"""The lines that wait to be written, bounded by their number and by their bytes."""

from __future__ import annotations

import sys
import threading
from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from feature_checks.prediction_record import Kind
from serving.prediction_log.lines import AnsweredRequest, Lines

_LINE_BYTES: Final = 450
"""The bytes of a line without its text."""


@dataclass(slots=True)
class Pending:
    """Lines of one segment that wait to be written, in one buffer: thousands of small objects would cost more."""

    content: bytearray = field(default_factory=bytearray)
    number: int = 0
    """The number of lines."""
    size: int = 0
    """The bytes that were reserved for them."""


class LineQueue:
    """Takes requests and lines from the event loop, and gives them to one writer thread."""

    def __init__(self, most_lines: int, most_bytes: int) -> None:
        """What would exceed one of the bounds is refused."""
        self._most_lines = most_lines
        self._most_bytes = most_bytes
        self._requests: deque[tuple[AnsweredRequest, int]] = deque()
        self._pending: defaultdict[tuple[Kind, str], Pending] = defaultdict(Pending)
        self._adding = threading.Lock()
        # The first pair is written by the event loop only and the second by the writer only, so that their
        # difference needs no lock.
        self._reserved_lines, self._reserved_bytes = 0, 0
        self._released_lines, self._released_bytes = 0, 0

    @property
    def lines(self) -> int:
        """The number of lines that wait."""
        return self._reserved_lines - self._released_lines

    @property
    def bytes(self) -> int:
        """The bytes of memory that the waiting lines take, about."""
        return self._reserved_bytes - self._released_bytes

    def reserve(self, number: int, size: int) -> bool:
        """Return whether there is room for `number` lines of `size` bytes together, and if so, keep it."""
        if self.lines + number > self._most_lines or self.bytes + size > self._most_bytes:
            return False
        self._reserved_lines += number
        self._reserved_bytes += size
        return True

    def cancel(self, number: int, size: int) -> None:
        """Give reserved room back; called on the event loop."""
        self._reserved_lines -= number
        self._reserved_bytes -= size

    def release(self, number: int, size: int) -> None:
        """Give the room of lines back that are written or dropped; called by the writer."""
        self._released_lines += number
        self._released_bytes += size

    def put_request(self, answered: AnsweredRequest, size: int) -> None:
        """Queue a request whose lines the writer makes."""
        self._requests.append((answered, size))

    def put(self, lines: Lines, size: int) -> None:
        """Queue lines; called from any thread."""
        with self._adding:
            pending = self._pending[lines.kind, lines.hour]
            pending.content += lines.content
            pending.number += lines.number
            pending.size += size

    def take_requests(self) -> Iterator[tuple[AnsweredRequest, int]]:
        """Yield the requests that wait now: under load the event loop adds as fast as the writer takes."""
        for _ in range(len(self._requests)):
            yield self._requests.popleft()

    def take(self) -> dict[tuple[Kind, str], Pending]:
        """Return the lines that wait, by kind and hour."""
        with self._adding:
            pending, self._pending = self._pending, defaultdict(Pending)
        return pending


def size_of(answered: AnsweredRequest) -> int:
    """Return about how many bytes the lines of a request take."""
    return _LINE_BYTES * len(answered.texts) + sum(map(sys.getsizeof, answered.texts))
