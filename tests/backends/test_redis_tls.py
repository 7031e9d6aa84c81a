"""A Redis server with a password, TLS and its own CA is configured by its URL alone."""

from __future__ import annotations

import asyncio

import pytest
from redis import AuthenticationError

from serving.state.redis_link import RedisLink, RedisUnavailable
from tests.backends.stack import PASSWORD, Backends


async def ping(url: str) -> object:
    link = RedisLink(url, "test", timeout=5)
    try:
        return await link.send("PING")
    finally:
        await link.close()
        await asyncio.sleep(0.1)  # a refused connection's socket is closed in the loop's next rounds


async def test_the_ca_of_the_url_is_trusted(cluster: Backends) -> None:
    assert await ping(cluster.variables["REDIS_URL"]) in (True, b"PONG")


async def test_a_certificate_of_an_unknown_ca_is_refused(cluster: Backends) -> None:
    url = cluster.variables["REDIS_URL"].partition("?")[0]
    with pytest.raises(RedisUnavailable) as refused:
        await ping(url)
    assert "CERTIFICATE_VERIFY_FAILED" in str(refused.value.__cause__)


async def test_a_certificate_for_another_host_is_refused(cluster: Backends) -> None:
    with pytest.raises(RedisUnavailable) as refused:
        await ping(cluster.variables["REDIS_URL"].replace("127.0.0.1", "localhost"))
    assert "certificate is not valid for 'localhost'" in str(refused.value.__cause__)


async def test_a_wrong_password_is_refused(cluster: Backends) -> None:
    with pytest.raises(RedisUnavailable) as caught:
        await ping(cluster.variables["REDIS_URL"].replace(PASSWORD, "wrong"))
    assert isinstance(caught.value.__cause__, AuthenticationError)
    assert "invalid username-password pair" in str(caught.value.__cause__)


async def test_plain_text_is_refused(cluster: Backends) -> None:
    url = cluster.variables["REDIS_URL"].partition("?")[0]
    with pytest.raises(RedisUnavailable):
        await ping(url.replace("rediss:", "redis:"))
