"""Many connections that send nothing: `python -m tests.faults.idle` opens 10,000."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import psutil
import typer

from tests.benchmarks.servers import Server
from tests.faults.live import ask, fake_server

_AT_A_TIME = 200


@dataclass(frozen=True)
class Idle:
    """What idle connections cost."""

    statuses: Counter[int]
    """What requests beside them were answered."""
    slowest_seconds: float
    mib: float
    """By how much the server's memory grew."""
    seconds_until_closed: float
    """How long after the last one was opened the server had closed them all."""


async def idle_connections(server: Server, number: int, longest: float) -> Idle:
    """Open connections, send requests beside them, and wait until the server, after `longest` seconds, closed all."""
    process = psutil.Process(server.pid)
    ask(server)
    files, memory = process.num_fds(), server.resident_mib
    writers = []
    for start in range(0, number, _AT_A_TIME):
        opened = (asyncio.open_connection("127.0.0.1", server.port) for _ in range(min(_AT_A_TIME, number - start)))
        writers += [writer for _, writer in await asyncio.gather(*opened)]
    began, statuses, slowest = time.monotonic(), Counter[int](), 0.0
    for _ in range(20):
        sent = time.monotonic()
        statuses[await asyncio.to_thread(ask, server)] += 1
        slowest = max(slowest, time.monotonic() - sent)
    mib = server.resident_mib - memory
    while process.num_fds() > files and time.monotonic() - began < longest + 30:  # noqa: ASYNC110  # no event tells
        await asyncio.sleep(0.1)
    closed = time.monotonic() - began
    for writer in writers:
        writer.close()
    return Idle(statuses, slowest, mib, closed)


def main(
    connections: Annotated[int, typer.Option(help="how many")] = 10_000,
    seconds: Annotated[float, typer.Option(help="HEADER_TIMEOUT_SECONDS of the server")] = 20,
) -> None:
    """Open the connections, print what they cost, and exit with 1 if a request was not answered."""
    with tempfile.TemporaryDirectory() as folder:
        variables = {"HEADER_TIMEOUT_SECONDS": str(seconds), "PREDICTION_LOG": "off"}
        with fake_server(Path(folder), **variables) as server:
            found = asyncio.run(idle_connections(server, connections, seconds))
    print(found)
    sys.exit(set(found.statuses) != {200})


if __name__ == "__main__":
    typer.run(main)
