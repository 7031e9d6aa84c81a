"""The predictor image ends in order: at once while it starts, and with every accepted request answered under load."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import httpx

from tests.images.engine import require
from tests.images.predictor import READY_SECONDS, Predictor, infer, until

GRACE_SECONDS: Final = 3.0
LONG_REQUEST: Final = 2_000
"""Texts of a request that takes one CPU longer than the rest of the grace period."""


@dataclass
class Load:
    """Clients that send one text at a time until they are told to stop, and what became of it."""

    url: str
    statuses: list[int] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def running(self, clients: int = 4) -> Iterator[None]:
        """Send while the block runs."""
        threads = [threading.Thread(target=self._send, args=(number,)) for number in range(clients)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.stop.set()
            for thread in threads:
                thread.join()

    def _send(self, number: int) -> None:
        with httpx.Client(base_url=self.url, timeout=60) as client:
            count = 0
            while not self.stop.wait(0.05):
                count += 1
                self.send(client, [f"The {number} of {count} is fine."])

    def send(self, client: httpx.Client, texts: list[str]) -> None:
        """Send one request and remember its status."""
        try:
            self.statuses.append(infer(client, texts).status_code)
        except httpx.HTTPError as error:
            self.failures.append(repr(error))


def check_drain(server: Predictor) -> str:
    """SIGTERM under load: readiness off, all accepted requests answered and logged, exit code 0.

    One request outlasts the grace period, so that the listener closes while it is being answered.
    """
    logged_before = server.logged()
    load, long = Load(server.http), Load(server.http)
    with load.running():
        time.sleep(1)
        server.container.kill("SIGTERM")
        signalled = time.monotonic()
        until(lambda: server.status("/v2/health/ready") == 503, GRACE_SECONDS, "readiness is off")
        require(server.status("/v2/health/live") == 200, "a draining server must stay live")
        time.sleep(max(0.0, signalled + GRACE_SECONDS * 2 / 3 - time.monotonic()))
    texts = [f"Number {number} has two buttons and a lid." for number in range(LONG_REQUEST)]
    with httpx.Client(base_url=server.http, timeout=60) as client:
        long.send(client, texts)
    seconds = time.monotonic() - signalled
    require(not (load.failures + long.failures), f"requests broke off: {(load.failures + long.failures)[:3]}")
    wrong = [status for status in load.statuses + long.statuses if status != 200]
    require(not wrong, f"accepted requests were answered with {wrong}")
    require(seconds > GRACE_SECONDS, f"{LONG_REQUEST} texts were answered within the grace period: take more")
    require(
        len(load.statuses) > 40, f"only {len(load.statuses)} requests in {1 + GRACE_SECONDS * 2 / 3:.0f} s are no load"
    )
    code = server.exit_code()
    require(code == 0, f"exit code {code} after SIGTERM; 0 would be right")
    logged, due = server.logged() - logged_before, len(load.statuses) + LONG_REQUEST
    require(logged == due, f"{logged} lines in the prediction log for {due} answered texts")
    return f"{len(load.statuses)} requests and one of {LONG_REQUEST} texts, {logged} log lines"


def check_ends_while_starting(server: Predictor) -> float:
    """SIGTERM before anything is served ends the container at once; return the seconds it took."""
    until(lambda: b"self-test" in server.container.logs(), READY_SECONDS, "the predictor has loaded its model")
    server.container.kill("SIGTERM")
    began = time.monotonic()
    code = server.exit_code()
    require(code == 0, f"exit code {code} after SIGTERM while starting; 0 would be right")
    require(
        b"Uvicorn running" not in server.container.logs(), "SIGTERM while starting was not heeded: it went on to serve"
    )
    return time.monotonic() - began
