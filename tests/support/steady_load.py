"""A steady stream of requests at a live server, each on time whatever became of the one before."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

import httpx


@dataclass
class Load:
    """What a stream of single-text requests came to."""

    replies: list[httpx.Response] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)
    refused_connections: int = 0
    """Connections that the closed listener refused: requests that were never accepted."""

    @property
    def statuses(self) -> dict[int, int]:
        """How many replies had each status."""
        found: dict[int, int] = {}
        for reply in self.replies:
            found[reply.status_code] = found.get(reply.status_code, 0) + 1
        return found


async def steady(url: str, texts: list[str], rate: float, stop: asyncio.Event) -> Load:
    """Send one text a request at `rate` a second until `stop`; wait for every answer."""
    load, pending, index = Load(), set(), 0
    limits = httpx.Limits(max_connections=200, max_keepalive_connections=50)
    async with httpx.AsyncClient(timeout=20, limits=limits) as client:
        start = time.monotonic()
        while not stop.is_set():
            task = asyncio.create_task(_send(client, url, texts[index % len(texts)], load))
            pending.add(task)
            task.add_done_callback(pending.discard)
            index += 1
            await asyncio.sleep(max(0.0, start + index / rate - time.monotonic()))
        await asyncio.gather(*pending)
    return load


async def _send(client: httpx.AsyncClient, url: str, text: str, load: Load) -> None:
    tensor: dict[str, Any] = {"name": "text", "shape": [1], "datatype": "BYTES", "data": [text]}
    try:
        load.replies.append(await client.post(url, json={"inputs": [tensor]}))
    except httpx.ConnectError:
        load.refused_connections += 1
    except httpx.HTTPError as error:
        load.failures.append(error)
