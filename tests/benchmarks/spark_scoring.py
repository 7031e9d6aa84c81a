"""Bulk scoring with `score` and on Spark, on the same cores: equal answers, rows a second, memory and resumption.

python -m tests.benchmarks.spark_scoring --bundle .local/bundles/1-74d940152adc/bundle --rows 200000
python -m tests.benchmarks.spark_scoring --bundle BUNDLE --rows 5000 --part-rows 500     a short try

The texts are sentences of the default data, recombined. Each round runs `score` and then Spark. In the last round Spark
is also killed half-way and resumed. A run's rate has two forms: all of its time, and its time after the start-up, which
is the time of the same command for one row.
"""

from __future__ import annotations

import json
import os
import random
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import pandas as pd
import psutil
import typer

from components.datasets import icwsm2014
from feature_checks.contract import TEXT
from feature_checks.state import state_dir

Stop = Callable[[], bool]


@dataclass(frozen=True)
class Run:
    """One command: seconds on the clock and of processors, and the peak memory of its processes together in MiB."""

    seconds: float
    processor_seconds: float
    peak_mib: float


def write_reviews(path: Path, rows: int, words: int) -> None:
    """Write `rows` texts of about `words` words each: pieces of the default data's sentences."""
    random.seed(0)
    sentences = icwsm2014.load(["amazon"], state_dir() / "data")[TEXT].tolist()
    pieces = [piece for text in sentences if (piece := " ".join(text.split()[: max(1, words // 2)]))]
    texts = [f"{random.choice(pieces)} {random.choice(pieces)}" for _ in range(rows)]
    pd.DataFrame({TEXT: texts}).to_parquet(path)


def run(arguments: list[str], bundle: Path, scratch: Path, stop: Stop = lambda: False) -> Run:
    """Run `review-sentiment score` in a process group of its own; kill the group once `stop` says so."""
    environment = os.environ | {"MODEL_URI": str(bundle), "STATE_DIR": str(scratch / "state")}
    started, peak, processors = time.monotonic(), 0.0, dict[int, float]()
    with (scratch / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "pipelines.cli", "score", *arguments],
            env=environment, stdout=log, stderr=log, process_group=0,
        )  # fmt: skip
        while process.poll() is None:
            peak = max(peak, _sample(process.pid, processors))
            if stop():
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                break
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.5)  # reading the memory takes processor time
    if process.returncode not in (0, -signal.SIGKILL):
        raise RuntimeError((scratch / "log").read_text(encoding="utf-8", errors="replace")[-3000:])
    return Run(time.monotonic() - started, sum(processors.values()), peak)


def _sample(pid: int, processors: dict[int, float]) -> float:
    """Return the memory of a process and its children in MiB, and note the processor seconds of each.

    Pages that they share count once (PSS).
    """
    total = 0.0
    with suppress(psutil.Error):
        for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
            with suppress(psutil.Error):
                times = process.cpu_times()
                processors[process.pid] = times.user + times.system
                total += process.memory_full_info().pss / 2**20
    return total


def equal(one: Path, parts: Path) -> bool:
    """Tell whether both results have the same rows with the same values, bit for bit."""
    found = pd.concat([pd.read_parquet(path) for path in sorted(parts.glob("part-*.parquet"))], ignore_index=True)
    return pd.read_parquet(one).equals(found)


def interrupted(reviews: Path, target: Path, options: list[str], bundle: Path, scratch: Path, parts: int) -> list[int]:
    """Kill a Spark run when half of its parts are written, and resume it; return the parts of both runs."""

    def written() -> dict[str, int]:
        return {path.name: path.stat().st_mtime_ns for path in target.glob("part-*.parquet")}

    command = [str(reviews), str(target), *options]
    run(command, bundle, scratch, lambda: len(written()) * 2 >= parts)
    time.sleep(2)  # a worker ends when it notices that its driver is gone
    before = written()
    run(command, bundle, scratch)
    after = written()
    if before != {name: after.get(name) for name in before}:
        raise RuntimeError("the resumed run wrote a part again")
    return [len(before), len(after) - len(before)]


def main(
    bundle: Annotated[Path, typer.Option(help="folder of the bundle to score with")],
    rows: Annotated[int, typer.Option(help="reviews")] = 200_000,
    words: Annotated[int, typer.Option(help="words of a review, at most")] = 16,
    part_rows: Annotated[int, typer.Option(help="rows of a part on Spark")] = 5_000,
    rounds: Annotated[int, typer.Option(help="runs of each engine, in turns")] = 1,
) -> None:
    """Measure; print the figures as JSON."""
    bundle, spark = bundle.absolute(), ["--engine", "spark", "--part-rows", str(part_rows)]
    with TemporaryDirectory() as folder:
        scratch = Path(folder)
        reviews, single = scratch / "reviews.parquet", scratch / "single.parquet"
        write_reviews(reviews, rows, words)
        write_reviews(single, 1, words)
        start = {
            "score": run([str(single), str(scratch / "one.parquet")], bundle, scratch).seconds,
            "spark": run([str(single), str(scratch / "one"), *spark], bundle, scratch).seconds,
        }
        runs: dict[str, list[Run]] = {"score": [], "spark": []}
        for number in range(rounds):
            one, parts = scratch / f"{number}.parquet", scratch / str(number)
            runs["score"].append(run([str(reviews), str(one)], bundle, scratch))
            runs["spark"].append(run([str(reviews), str(parts), *spark], bundle, scratch))
        same = equal(one, parts)
        count = -(-rows // part_rows)
        halves = interrupted(reviews, scratch / "killed", spark, bundle, scratch, count)
        again = equal(one, scratch / "killed")
    rates = {name: rows / statistics.median(one.seconds - start[name] for one in found) for name, found in runs.items()}
    figures = {
        "rows": rows,
        "equal_bit_for_bit": same,
        "equal_after_kill_and_resumption": again,
        "parts_before_kill_and_after": halves,
        "start_up_seconds": start,
        "rows_per_second_after_start_up": rates,
        "spark_over_score": rates["spark"] / rates["score"],
        "rows_per_second_in_all": {
            name: rows / statistics.median(one.seconds for one in found) for name, found in runs.items()
        },
        "runs": {name: [asdict(one) for one in found] for name, found in runs.items()},
    }
    typer.echo(json.dumps(figures, indent=1))


if __name__ == "__main__":
    app = typer.Typer(add_completion=False)
    app.command(help=__doc__)(main)
    app()
