"""What a well-behaved client notices of bad neighbours, and single texts of bulk requests.

python -m tests.benchmarks.neighbours                       on the engine without weights
python -m tests.benchmarks.neighbours --bundle FOLDER       on a bundle folder
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Annotated, Any, Final

import httpx
import numpy as np
import typer

from tests.benchmarks.attacks import ATTACKS
from tests.benchmarks.scenarios import Bench, Result
from tests.benchmarks.servers import Server, fake_engine, predictor
from tests.support.words import THINGS, VERDICTS

_RATE: Final = 20
_BULK_REQUESTS, _BULK_TEXTS = 10, 5_000
_BULK_SECONDS: Final = 180
"""The deadline of a request, for bulk requests that all come at once."""


@dataclass
class Watch:
    """What was seen of a server while it was watched."""

    peak_mib: float = 0.0
    liveness: Counter[int] = field(default_factory=Counter)
    """How often the liveness probe had each status; 0 is no answer within the time-out of the deployment."""


@contextmanager
def watching(server: Server) -> Iterator[Watch]:
    """Watch the memory and the liveness of a server."""
    found, stop = Watch(), threading.Event()

    def look() -> None:
        turn = 0
        while not stop.wait(0.05):
            found.peak_mib = max(found.peak_mib, server.resident_mib)
            turn += 1
            if turn % 10 == 0:
                try:
                    reply = httpx.get(f"http://127.0.0.1:{server.port}/v2/health/live", timeout=5)
                    found.liveness[reply.status_code] += 1
                except httpx.HTTPError:
                    found.liveness[0] += 1

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield found
    finally:
        stop.set()
        thread.join()


def beside(bench: Bench, server: Server, attack: str) -> Result:
    """Return what a client at 20 requests/s sees while one attacker is at work."""
    warm_up = min(2.0, bench.seconds)
    seconds = bench.seconds + warm_up + 1
    command = ["-m", "tests.benchmarks.attacks", attack, str(server.port), str(server.grpc_port), str(seconds)]
    with watching(server) as watch:
        attacker = subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, stderr=bench.log)
        try:
            found = bench.load(server, connections=8, rate=_RATE, warm_up=warm_up)
        finally:
            outcomes, _ = attacker.communicate(timeout=60)
    return found | {
        "attacker": json.loads(outcomes or b"{}"),
        "peak_mib": watch.peak_mib,
        "liveness": {str(status): count for status, count in watch.liveness.items()},
    }


def bad_neighbours(bench: Bench, server: Server) -> dict[str, Result]:
    """Play every attack in turn against one server."""
    return {f"beside {attack}": beside(bench, server, attack) for attack in ATTACKS}


def bulk_beside_singles(bench: Bench, server: Server) -> dict[str, Result]:
    """Send ten bulk requests of 5,000 texts at once, and single texts until all have been answered."""
    done = threading.Event()

    def bulk() -> Result:
        try:
            return asyncio.run(_bulk(bench.all_texts(), server.port))
        finally:
            done.set()

    singles: list[Result] = []
    with watching(server) as watch, ThreadPoolExecutor(1) as pool:
        background = pool.submit(bulk)
        while not done.is_set():
            singles.append(bench.load(server, connections=16, rate=_RATE, warm_up=0.5))
        found = background.result()
    worst = max(singles, key=lambda result: float(result["p95_ms"]))
    statuses: Counter[str] = Counter()
    for result in singles:
        statuses.update(result["statuses"])
    return {
        "ten bulk requests of 5,000 texts": found | {"peak_mib": watch.peak_mib},
        "single texts beside them": worst | {"statuses": dict(statuses)},
    }


async def _bulk(texts: list[str], port: int) -> Result:
    order = np.random.default_rng(3).integers(0, len(texts), (_BULK_REQUESTS, _BULK_TEXTS)).tolist()
    statuses: Counter[str] = Counter()
    began = time.monotonic()

    async def send(client: httpx.AsyncClient, number: int, chosen: list[int]) -> None:
        content = {"instances": [f"{texts[index]} {number}.{place}" for place, index in enumerate(chosen)]}
        reply = await client.post("/v1/models/sentiment:predict", json=content)
        statuses[str(reply.status_code)] += 1

    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=2 * _BULK_SECONDS) as client:
        await asyncio.gather(*(send(client, number, chosen) for number, chosen in enumerate(order)))
    seconds = time.monotonic() - began
    texts_per_second = round(_BULK_REQUESTS * _BULK_TEXTS / seconds, 1)
    return {"statuses": dict(statuses), "seconds": round(seconds, 1), "texts_per_second": texts_per_second}


def measure(bench: Bench, *, fake: bool = False) -> dict[str, Result]:
    """Run both on servers of their own: without a cache, so that every text costs its inference."""
    found: dict[str, Result] = {}
    with _server(bench, fake, "attacked") as server:
        found |= bad_neighbours(bench, server)
    with _server(bench, fake, "bulk", REQUEST_TIMEOUT_SECONDS=str(_BULK_SECONDS)) as server:
        found |= bulk_beside_singles(bench, server)
    return found


@contextmanager
def _server(bench: Bench, fake: bool, name: str, **variables: str) -> Iterator[Server]:
    state = bench.state / name
    chosen = {"CACHE": "off", **variables}
    # Two milliseconds for a short text, as on two cores.
    made = fake_engine(state, bench.log, SECONDS_PER_TOKEN="0.00006", ENGINE_THREADS="2", **chosen) if fake else (
        predictor(bench.bundle, state, bench.log, **chosen)
    )  # fmt: skip
    with made as server:
        yield server


def ratios(found: dict[str, Result]) -> list[tuple[str, float, str, float]]:
    """Return each aim: its name, the measured value, how it is compared, and the bound."""
    attacked = {name: result for name, result in found.items() if name.startswith("beside ")}
    bulk, singles = found["ten bulk requests of 5,000 texts"], found["single texts beside them"]

    def failed(counts: dict[str, int]) -> float:
        return float(sum(count for status, count in counts.items() if status[0] in "05"))

    return [
        *((f"p95 {name}, ms", float(result["p95_ms"]), "<=", 150.0) for name, result in attacked.items()),
        ("5xx or no answer beside attackers", sum(failed(each["statuses"]) for each in attacked.values()), "<=", 0.0),
        ("memory beside attackers, MiB", max(float(each["peak_mib"]) for each in attacked.values()), "<=", 700.0),
        ("failed liveness beside attackers", sum(failed(each["liveness"]) for each in attacked.values()), "<=", 0.0),
        ("bulk requests that finish", float(bulk["statuses"].get("200", 0)), ">=", float(_BULK_REQUESTS)),
        ("p95 of single texts beside bulk, ms", float(singles["p95_ms"]), "<=", 100.0),
        ("single texts refused beside bulk", failed(singles["statuses"]), "<=", 0.0),
    ]  # fmt: skip


def write_own_texts(target: Path) -> None:
    """Write distinct texts of the lengths and the words of reviews."""
    random = np.random.default_rng(0)
    sentences = [*THINGS, *(verdict for verdicts in VERDICTS.values() for verdict in verdicts)]
    words = sorted({word for sentence in sentences for word in sentence.split()})
    texts = {" ".join(random.choice(words, random.integers(6, 30))) for _ in range(4_000)}
    target.write_text(json.dumps(sorted(texts)), encoding="utf-8")


def main(
    bundle: Annotated[Path | None, typer.Option(help="a bundle folder; default: the engine without weights")] = None,
    seconds: Annotated[float, typer.Option(help="length of each attack")] = 6.0,
    log: Annotated[Path | None, typer.Option(help="file for the servers' output")] = None,
) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as scratch:
        write_own_texts(Path(scratch, "texts.json"))
        out: IO[str]
        with (log or Path(scratch, "log")).open("w") as out:
            bench = Bench(bundle or Path(), Path(scratch, "texts.json"), Path(scratch), seconds, 0, out)
            found: dict[str, Any] = measure(bench, fake=bundle is None)
    for name, result in found.items():
        print(f"{name}: {result}")
    for what, value, sign, bound in ratios(found):
        holds = value <= bound if sign == "<=" else value >= bound
        print(f"{'ok ' if holds else 'NOT'} {what}: {value:g} {sign} {bound:g}")


if __name__ == "__main__":
    typer.run(main)
