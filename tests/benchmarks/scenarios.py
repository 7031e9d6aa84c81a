"""The measurements: each function runs one server, sends it requests, and returns named numbers."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import numpy as np

from feature_checks import bundle as bundles
from feature_checks.classifier import OnnxClassifier
from feature_checks.processor import available_cores
from serving.bulk.files import read_texts
from tests.benchmarks.servers import Server, null_route, plain_kserve, predictor

_LOAD: Final = str(Path(__file__).parent / "load.py")
_PATH: Final = "/v1/models/sentiment:predict"
_RAW_BATCH: Final = 8
_SPARE_SECONDS: Final = 120.0
"""What the load generator may take beyond its load before it is given up."""
_ROUNDS: Final = 3
_ZIPF_EXPONENT: Final = 1.1
_ZIPF_TEXTS: Final = 3_000
_ZIPF_REQUESTS: Final = 5_000

Result = dict[str, Any]


@dataclass(frozen=True)
class Bench:
    """The files of a run, and how long each load lasts, in seconds."""

    bundle: Path
    texts: Path
    """A JSON list of distinct texts."""
    state: Path
    seconds: float
    overload_seconds: float
    log: IO[str]

    def load(self, server: Server, *, connections: int, **spec: Any) -> Result:
        """Put one load on a server; see load.py for what `spec` may hold."""
        content = {"warm_up": 1, "seconds": self.seconds, "path": _PATH, **spec, "connections": connections}
        content |= {"port": server.port, "texts": str(self.texts)}
        file = self.state / f"load-{time.monotonic_ns()}.json"
        file.write_text(json.dumps(content), encoding="utf-8")
        before = server.cpu_seconds
        longest = content["warm_up"] + content["seconds"] + _SPARE_SECONDS
        command = [sys.executable, _LOAD, str(file)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=longest, check=False)
        file.unlink()
        if done.returncode:
            raise RuntimeError(f"the load generator failed: {done.stderr}")
        result: Result = json.loads(done.stdout)
        spent = 1e3 * (server.cpu_seconds - before)
        return result | {"server_cpu_ms": round(spent / max(1, result.pop("replies_in_all")), 3)}

    def all_texts(self) -> list[str]:
        """Return the texts."""
        found: list[str] = json.loads(self.texts.read_text(encoding="utf-8"))
        return found


def write_texts(source: Path, column: str, target: Path) -> None:
    """Write the distinct texts of a data file, shuffled, as the JSON list that the loads read."""
    texts = sorted({text for text in read_texts(source, column) if isinstance(text, str) and text.strip()})
    np.random.default_rng(0).shuffle(texts)
    target.write_text(json.dumps(texts), encoding="utf-8")


def raw_engine(bench: Bench) -> Result:
    """Measure the limit: the engine without a server, in a loop on every core.

    Batches have eight texts of similar length.
    """
    engine = OnnxClassifier(bundles.load(bench.bundle))
    texts = bench.all_texts()
    encoded = sorted(engine.encode(texts), key=lambda text: len(text.ids))
    batches = [encoded[start : start + _RAW_BATCH] for start in range(0, len(encoded), _RAW_BATCH)]
    order = np.random.default_rng(1).permutation(len(batches)).tolist()
    supply = iter([batches[index] for index in order] * 100)
    lock, counts = threading.Lock(), []
    ends = time.perf_counter() + bench.seconds

    def run(_: int) -> None:
        while time.perf_counter() < ends:
            with lock:
                batch = next(supply)
            engine.run(batch)
            counts.append(len(batch))

    started, cpu = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(available_cores()) as pool:
        list(pool.map(run, range(available_cores())))
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    return {"per_second": round(sum(counts) / seconds, 1), "cpu_ms": round(1e3 * cpu / sum(counts), 3)}


def plain_loop(bench: Bench) -> Result:
    """Measure one text at a time, tokenised and run in a loop on one core.

    This is the least time that a single request can take.
    """
    engine = OnnxClassifier(bundles.load(bench.bundle))
    times = []
    ends = time.perf_counter() + bench.seconds / 2
    for text in bench.all_texts():
        started = time.perf_counter()
        engine.run(engine.encode([text]))
        times.append((time.perf_counter() - started) * 1e3)
        if time.perf_counter() > ends:
            break
    p50 = float(np.median(times))
    return {"p50_ms": round(p50, 2), "per_second": round(1e3 / p50, 1)}


def in_turns(loads: Mapping[str, Callable[[], Result]]) -> dict[str, Result]:
    """Put each load on in turn, several times, and return the result with the median rate for each.

    What is compared is so measured within seconds: a shared machine is not always equally fast.
    """
    found: dict[str, list[Result]] = {name: [] for name in loads}
    for _ in range(_ROUNDS):
        for name, load in loads.items():
            found[name].append(load())
    return {
        name: sorted(results, key=lambda result: result["per_second"])[_ROUNDS // 2] for name, results in found.items()
    }


def uncached(bench: Bench) -> dict[str, Result]:
    """Measure distinct single texts beside the raw engine and plain KServe, a batch of 1,000, and both at once."""
    found: dict[str, Result] = {}
    with (
        predictor(bench.bundle, bench.state, bench.log, CACHE="off") as server,
        plain_kserve(bench.bundle, bench.log) as plain,
        plain_kserve(bench.bundle, bench.log, "threads") as threaded,
    ):
        found["start"] = {"resident_mib": server.resident_mib, "start_seconds": server.start_seconds}
        found |= in_turns(
            {
                "plain loop, one text": lambda: plain_loop(bench),
                "single, 1 connections": lambda: bench.load(server, connections=1),
            }
        )
        found |= in_turns(
            {
                "raw engine": lambda: raw_engine(bench),
                "single, 64 connections": lambda: bench.load(server, connections=64),
                "plain KServe, 64 connections": lambda: bench.load(plain, connections=64),
                "plain KServe in threads, 64 connections": lambda: bench.load(threaded, connections=64),
                "1,000 texts in one request": lambda: bench.load(server, connections=1, batch=1000),
            }
        )
        for connections in (16, 32):
            found[f"single, {connections} connections"] = bench.load(server, connections=connections)
        bulk = found["1,000 texts in one request"]
        bulk["texts_per_second"] = round(1000 * bulk["statuses"]["200"] / bulk["seconds"], 1)
        with ThreadPoolExecutor(1) as pool:
            background = pool.submit(bench.load, server, connections=1, batch=1000)
            found["single, beside 1,000 texts"] = bench.load(server, connections=64, rate=20, seconds=bench.seconds - 1)
            found["1,000 texts, beside single"] = background.result()
        rate = 0.7 * found["single, 64 connections"]["per_second"]
        found["single, evenly at 70 %"] = bench.load(server, connections=64, rate=rate)
    return found


def overload(bench: Bench, capacity: float) -> dict[str, Result]:
    """Offer five times the capacity, then a little: latency of what is accepted, memory, recovery."""
    with predictor(bench.bundle, bench.state, bench.log, CACHE="off") as server:
        bench.load(server, connections=256, rate=5 * capacity, seconds=min(10.0, bench.overload_seconds))
        before = server.resident_mib
        result = bench.load(server, connections=256, rate=5 * capacity, seconds=bench.overload_seconds)
        result |= {"resident_mib_before": before, "resident_mib_after": server.resident_mib}
        after = bench.load(server, connections=8, rate=20, seconds=4.0, warm_up=0)
    return {"overload, 5 x capacity": result, "after the overload": after}


def cached(bench: Bench) -> dict[str, Result]:
    """Measure Zipf-distributed repeats against a cold cache, and hits alone beside a bare route and a null model."""
    with (
        predictor(bench.bundle, bench.state, bench.log) as server,
        plain_kserve("null", bench.log) as null_model,
        null_route(bench.log) as route,
    ):
        zipf = bench.load(server, connections=64, warm_up=0, seconds=600.0, requests=_ZIPF_REQUESTS, sequence=_zipf())
        hits = in_turns(
            {
                "all cache hits": lambda: bench.load(server, connections=64, sequence=list(range(100))),
                "KServe null model": lambda: bench.load(null_model, connections=64),
                "bare Starlette route": lambda: bench.load(route, connections=64),
            }
        )
    return {"Zipf repeats, cold cache": zipf, **hits}


def _zipf() -> Sequence[int]:
    weights = 1 / np.arange(1, _ZIPF_TEXTS + 1) ** _ZIPF_EXPONENT
    drawn = np.random.default_rng(2).choice(_ZIPF_TEXTS, _ZIPF_REQUESTS, p=weights / weights.sum())
    sequence: list[int] = drawn.tolist()
    return sequence
