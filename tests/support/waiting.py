"""Waiting for a condition instead of sleeping."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any


def until(condition: Callable[[], Any], seconds: float = 30) -> None:
    """Wait until the condition holds; fail when it does not come to that."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"still not so after {seconds} s"
        time.sleep(0.05)


async def eventually(condition: Callable[[], Any]) -> None:
    """Wait until the condition holds, without holding up the event loop."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110  # states of other threads have no event to wait for
            await asyncio.sleep(0.005)
