"""Where the processor time of a request goes at 64 connections: a table by stage, and a flame graph.

python -m tests.benchmarks.request_budget --bundle BUNDLE --data REVIEWS.jsonl --output FOLDER

Needs py-spy in PATH (pip install py-spy) and the right to trace processes, and two cores with nothing else to do.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import statistics
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import psutil

from feature_checks.contract import TEXT
from tests.benchmarks import scenarios
from tests.benchmarks.scenarios import Bench
from tests.benchmarks.servers import Server, predictor

_CONNECTIONS: Final = 64
_SECONDS: Final = 20.0
_ROUNDS: Final = 3
_SAMPLES_PER_SECOND: Final = 200

_STAGES: Final = {
    "read and parse HTTP": ("serving/api/connection.py", "serving/api/request.py", "uvicorn/"),
    "write the reply": ("serving/api/reply_writer.py",),
    "route, identify the user, limit": ("serving/api/", "serving/state/rate_limiter.py", "limits/"),
    "parse the body, make the answer": ("serving/protocol/", "serving/handlers.py", "serving/predictor.py"),
    "cache": ("serving/state/",),
    "tokenise": (
        "serving/inference/tokeniser.py",
        "feature_checks/documents/tokens.py",
        "feature_checks/classifier.py",
    ),
    "admit, queue, hand over": ("serving/inference/",),
    "log the prediction": ("serving/prediction_log/",),
    "metrics": ("serving/telemetry/", "prometheus_client/"),
}
"""The files whose functions make up each stage; the first match counts."""


def main() -> None:
    """Measure; write budget.md and flame_graph.svg."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("bundle", "data", "output"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    chosen = parser.parse_args()
    py_spy = shutil.which("py-spy")
    if py_spy is None:
        parser.error("py-spy: not in PATH; install it with: pip install py-spy")
    chosen.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        log = stack.enter_context((folder / "server.log").open("w", encoding="utf-8"))
        scenarios.write_texts(chosen.data, TEXT, folder / "texts.json")
        bench = Bench(chosen.bundle, folder / "texts.json", folder, _SECONDS, 1, log)
        server = stack.enter_context(predictor(chosen.bundle, folder, log, CACHE="off"))
        bench.load(server, connections=_CONNECTIONS, seconds=5.0)
        spent = _median(_spent(bench, server) for _ in range(_ROUNDS))
        samples = folder / "samples"
        _record(py_spy, bench, server, samples, "raw")
        _record(py_spy, bench, server, chosen.output / "flame_graph.svg", "flamegraph")
        shares = stages(samples.read_text(encoding="utf-8").splitlines())
    table = budget(shares, spent)
    (chosen.output / "budget.md").write_text(table, encoding="utf-8")
    print(table)


def _spent(bench: Bench, server: Server) -> dict[str, float]:
    """Return the microseconds of processor time for each request, by thread, and what the engine does alone."""
    alone = scenarios.raw_engine(bench)
    before = _processor_time(server)
    result = bench.load(server, connections=_CONNECTIONS)
    after = _processor_time(server)
    requests = result["per_second"] * (result["seconds"] + 1)  # the load has a second of warm-up
    spent = {name: 1e6 * (after[name] - before[name]) / requests for name in after}
    share = result["per_second"] / alone["per_second"]
    return spent | {"per_second": result["per_second"], "share": share, "alone": 1e3 * alone["cpu_ms"]}


def _processor_time(server: Server) -> dict[str, float]:
    times = {"engine": 0.0}
    for thread in psutil.Process(server.pid).threads():
        if thread.id == server.pid:
            times |= {"loop": thread.user_time, "system": thread.system_time}
        else:
            times["engine"] += thread.user_time + thread.system_time
    own = psutil.Process().cpu_times()
    times["generator"] = own.children_user + own.children_system
    return times


def _median(rounds: Iterable[dict[str, float]]) -> dict[str, float]:
    found = list(rounds)
    return {name: statistics.median(one[name] for one in found) for name in found[0]}


def _record(py_spy: str, bench: Bench, server: Server, output: Path, kind: str) -> None:
    command = [py_spy, "record", "--pid", str(server.pid), "--nonblocking", "--function", "--format", kind]
    command += ["--duration", str(int(_SECONDS)), "--rate", str(_SAMPLES_PER_SECOND), "--output", str(output)]
    with subprocess.Popen([*command, "--threads"], stdout=subprocess.DEVNULL) as recording:
        bench.load(server, connections=_CONNECTIONS)
    if recording.returncode:
        raise RuntimeError(f"py-spy ended with code {recording.returncode}")


def stages(lines: Iterable[str]) -> dict[str, float]:
    """Return each stage's share of the event loop's samples, from py-spy's raw format.

    A sample belongs to the innermost function that is in a stage's files. Samples in none of them are left out: most
    are of a loop that waits.

    Example: `stages(["MainThread;run (serving/api/routes.py:1) 3"])`.
    """
    counts: Counter[str] = Counter()
    for line in lines:
        stack, _, count = line.rpartition(" ")
        frames = stack.split(";")
        if "MainThread" in frames[0] and (stage := _stage(frames)):
            counts[stage] += int(count)
    total = sum(counts.values())
    return {stage: counts[stage] / total for stage in _STAGES if counts[stage]}


def _stage(frames: list[str]) -> str | None:
    """Return the stage of the innermost frame that belongs to one."""
    for frame in reversed(frames):
        for stage, paths in _STAGES.items():
            if any(path in frame for path in paths):
                return stage
    return None


def budget(shares: Mapping[str, float], spent: Mapping[str, float]) -> str:
    """Return the table in Markdown, from each stage's share of the event loop and the microseconds that were spent."""
    rows = {f"event loop: {stage}": share * spent["loop"] for stage, share in shares.items()} | {
        "event loop: system calls": spent["system"],
        "engine: alone, in batches of eight": spent["alone"],
        "other threads: beyond the engine alone": spent["engine"] - spent["alone"],
        "the load generator, its start included": spent["generator"],
    }
    lines = [f"| {name} | {microseconds:.0f} |" for name, microseconds in rows.items()]
    served = f"{spent['per_second']:,.0f} requests/s, {spent['share']:.0%} of the engine alone"
    return "\n".join(["| Processor time of a request | µs |", "|---|---|", *lines, "", served, ""])


if __name__ == "__main__":
    main()
