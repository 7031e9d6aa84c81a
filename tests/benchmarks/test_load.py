"""The load generator counts requests that a server loses, and goes on after them."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

COMMAND = Path(__file__).with_name("load.py")
REPLY = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"


@asynccontextmanager
async def server(replies: int, *, idle_first: bool = False) -> AsyncIterator[int]:
    """Yield the port of a server that answers `replies` requests on each connection and then closes it.

    With `idle_first` it closes between two requests, otherwise in the middle of one.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for number in range(replies):
            await reader.readuntil(b"}")
            writer.write(REPLY)
            if idle_first and number == replies - 1:
                break
        else:
            await reader.readuntil(b"}")
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listener:
        yield listener.sockets[0].getsockname()[1]


async def run(tmp_path: Path, port: int, **spec: Any) -> dict[str, Any]:
    (tmp_path / "texts.json").write_text(json.dumps(["one text"]), encoding="utf-8")
    content = {"port": port, "path": "/", "texts": str(tmp_path / "texts.json"), "connections": 4, "seconds": 1}
    (tmp_path / "spec.json").write_text(json.dumps(content | spec), encoding="utf-8")
    command = [sys.executable, str(COMMAND), str(tmp_path / "spec.json")]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=30, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.mark.parametrize("idle_first", [False, True])
async def test_a_closed_loop_counts_lost_requests_and_ends(tmp_path: Path, idle_first: bool) -> None:
    async with server(10, idle_first=idle_first) as port:
        found = await run(tmp_path, port)
    assert found["statuses"] == {"0": 4, "200": 40}


async def test_an_open_loop_counts_what_was_never_answered(tmp_path: Path) -> None:
    async with server(10) as port:
        found = await run(tmp_path, port, rate=100)
    assert found["statuses"]["200"] == 40
    assert 50 <= found["statuses"]["0"] <= 61
