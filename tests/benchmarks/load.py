"""A lean HTTP load generator that runs in its own process.

python -m tests.benchmarks.load SPEC.json     # prints the result

Closed loop: every connection sends its next request when its answer is there. Open loop: requests have
times of their own, and latency counts from those, so that a server which falls behind cannot hide it
(Tene's coordinated omission). Only replies with status 200 count as throughput.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any, Final, cast

import numpy as np
import uvloop

_LENGTH: Final = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
V1_BODY: Final = {"instances": "$texts"}
_LINGER_SECONDS: Final = 10.0
"""How long answers are waited for after the last request of an open loop."""


@dataclass
class Tally:
    """Statuses, and of the successful replies latency and time of sending, in seconds."""

    statuses: Counter[int] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    refused_at: list[float] = field(default_factory=list)

    def result(self, seconds: float) -> dict[str, Any]:
        """Return the numbers of a run of `seconds`; status 0 is no reply."""
        milliseconds = np.array(self.latencies or [np.nan]) * 1e3
        p50, p95, p99 = np.percentile(milliseconds, [50, 95, 99]).round(2).tolist()
        return {
            "per_second": round(len(self.latencies) / seconds, 1),
            "p50_ms": p50,
            "p95_ms": p95,
            "p99_ms": p99,
            "statuses": {str(status): count for status, count in sorted(self.statuses.items()) if count},
            "last_refused_at": round(max(self.refused_at, default=0.0), 2),
            "seconds": round(seconds, 2),
        }


class Connection(asyncio.Protocol):
    """One keep-alive connection with at most one request on its way."""

    _transport: asyncio.Transport

    def __init__(self, answered: Callable[[Connection, int, float], None]) -> None:
        self._answered = answered
        self._buffer = b""
        self._since = 0.0
        self._waits = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def send(self, request: bytes, since: float) -> None:
        """Send a request whose latency counts from `since`."""
        self._since = since
        if self._transport.is_closing():
            self._answered(self, 0, since)
            return
        self._waits = True
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        length = _LENGTH.search(self._buffer, 0, end)
        if length is None:
            raise ValueError(f"a reply without Content-Length: {self._buffer[:end]!r}")
        if len(self._buffer) < end + 4 + int(length[1]):
            return
        status = int(self._buffer[9:12])
        self._buffer = b""
        self._waits = False
        self._answered(self, status, self._since)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self._waits:
            self._answered(self, 0, self._since)


class Load:
    """One run."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self._spec = spec
        self._requests = requests_of(spec)
        self._tally = Tally()
        self._free: deque[Connection] = deque()
        self._waiting: deque[float] = deque()
        self._left = spec.get("requests", sys.maxsize)
        self._busy = 0
        self._replies = 0
        self._idle = asyncio.Event()
        self._measuring = not spec.get("warm_up")

    async def run(self) -> dict[str, Any]:
        """Return the result."""
        self._loop = asyncio.get_running_loop()
        for _ in range(self._spec["connections"]):
            _, connection = await self._loop.create_connection(
                lambda: Connection(self._finished), "127.0.0.1", self._spec["port"]
            )
            self._free.append(connection)
        self._ends = perf_counter() + self._spec.get("warm_up", 0) + self._spec["seconds"]
        if self._spec.get("warm_up"):
            self._loop.call_later(self._spec["warm_up"], self._measure)
        self._started = perf_counter()
        await (self._open() if "rate" in self._spec else self._closed())
        return self._tally.result(perf_counter() - self._started) | {"replies_in_all": self._replies}

    def _measure(self) -> None:
        self._tally, self._started, self._measuring = Tally(), perf_counter(), True

    async def _closed(self) -> None:
        while self._free and self._left > 0:
            self._begin(perf_counter())
        await self._drained()

    async def _drained(self) -> None:
        while self._busy:
            await self._idle.wait()

    async def _open(self) -> None:
        start, interval = perf_counter(), 1 / self._spec["rate"]
        for number in itertools.count():
            due = start + number * interval
            if due >= self._ends:
                break
            if (wait := due - perf_counter()) > 0:
                await asyncio.sleep(wait)
            if self._free:
                self._begin(due)
            else:
                self._waiting.append(due)
        with suppress(TimeoutError):  # what is still unanswered then counts as status 0
            await asyncio.wait_for(self._drained(), _LINGER_SECONDS)
        self._tally.statuses[0] += self._busy + len(self._waiting)

    def _begin(self, since: float) -> None:
        self._left -= 1
        self._busy += 1
        self._idle.clear()
        self._free.popleft().send(next(self._requests), since)

    def _finished(self, connection: Connection, status: int, since: float) -> None:
        now = perf_counter()
        self._busy -= 1
        self._replies += 1
        self._tally.statuses[status] += 1
        if status == 200:
            self._tally.latencies.append(now - since)
        else:
            self._tally.refused_at.append(since - self._started)
        if not self._busy:
            self._idle.set()
        if status == 0:  # the connection is gone, and is not opened again
            return
        self._free.append(connection)
        if self._waiting:
            self._begin(self._waiting.popleft())
        elif "rate" not in self._spec and self._left > 0 and now < self._ends:
            self._begin(now)


def requests_of(spec: dict[str, Any]) -> Iterator[bytes]:
    """Yield the bytes of requests without end, V1 unless `body` says otherwise; see `filled`.

    Each has `batch` texts, in the order of `sequence` or of the file.
    """
    texts = json.loads(Path(spec["texts"]).read_text(encoding="utf-8"))
    size = spec.get("batch", 1)
    sequence = spec.get("sequence") or range(0, len(texts) - size + 1, size)
    made = {start: _request(spec, texts[start : start + size]) for start in set(sequence)}
    return (made[start] for start in itertools.cycle(sequence))


def filled(body: Any, texts: list[str]) -> Any:
    """Return a body with texts in it: `$texts` stands for all, `$text` for the first, `$count` for their number.

    Example: `filled({"input": "$texts"}, ["Fine."])` is `{"input": ["Fine."]}`.
    """
    if isinstance(body, dict):
        return {key: filled(value, texts) for key, value in body.items()}
    if isinstance(body, list):
        return [filled(value, texts) for value in body]
    values = {"$texts": texts, "$text": texts[0], "$count": len(texts)}
    return values.get(body, body) if isinstance(body, str) else body


def _request(spec: dict[str, Any], texts: list[str]) -> bytes:
    body = json.dumps(filled(spec.get("body", V1_BODY), texts)).encode()
    head = (
        f"POST {spec['path']} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


if __name__ == "__main__":
    specification = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    json.dump(uvloop.run(Load(specification).run()), sys.stdout)
