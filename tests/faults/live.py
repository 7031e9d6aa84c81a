"""What the tests of live faults share: requests to a server of its own, and what its metrics say."""

from __future__ import annotations

import itertools
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.benchmarks.servers import Server, fake_engine

_NUMBERS = itertools.count()


@contextmanager
def fake_server(folder: Path, **variables: str) -> Iterator[Server]:
    """Run the real server on the engine without weights, with its state in `folder`/state."""
    defaults = {"ENGINE_THREADS": "1", "CACHE": "off", "RATE_LIMIT": "off"}
    with (folder / "server.log").open("w") as log, fake_engine(folder / "state", log, **(defaults | variables)) as it:
        yield it


def ask(server: Server, text: str | None = None, timeout: float = 20) -> int:
    """Return the status of a request for one text, by default one that has not been sent before; 0 for no answer."""
    content = {"instances": [text or f"text {next(_NUMBERS)}"]}
    try:
        reply = httpx.post(f"http://127.0.0.1:{server.port}/v1/models/sentiment:predict", json=content, timeout=timeout)
    except httpx.HTTPError:
        return 0
    return reply.status_code


def status(server: Server, path: str) -> int:
    """Return the status of a GET."""
    return httpx.get(f"http://127.0.0.1:{server.port}{path}", timeout=10).status_code


def metric(server: Server, name: str) -> float:
    """Return the value of a metric, labels included in its name."""
    text = httpx.get(f"http://127.0.0.1:{server.port}/metrics", timeout=10).text
    match = re.search(rf"^{re.escape(name)} (\S+)$", text, flags=re.MULTILINE)
    assert match is not None, f"no metric {name}"
    return float(match[1])


def recovery(condition: Callable[[], bool], most: float) -> float:
    """Return after how many seconds the condition holds; fail after `most`."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < most, f"not recovered after {most} s"
        time.sleep(0.02)
    seconds = time.monotonic() - began
    print(f"recovered after {seconds:.2f} s")
    return seconds


@contextmanager
def steady_requests(server: Server, pause: float = 0.02) -> Iterator[Counter[int]]:
    """Send one request after another in the background; yield how often each status came."""
    statuses: Counter[int] = Counter()
    stop = threading.Event()

    def send() -> None:
        while not stop.wait(pause):
            statuses[ask(server)] += 1

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield statuses
    finally:
        stop.set()
        thread.join()
