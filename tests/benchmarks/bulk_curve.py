"""How fast `score` is on files of 1,000 to 1,000,000 rows, against the engine alone, and what memory it takes.

python -m tests.benchmarks.bulk_curve --bundle BUNDLE --data REVIEWS.jsonl --output FOLDER

Writes bulk.json, bulk.md and bulk.png. Needs two cores with nothing else to do, for twelve minutes. The engine alone is
measured before and after each file. A file repeats the texts of the data as often as it needs.
"""

from __future__ import annotations

import itertools
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Final

import pandas as pd
import typer
from matplotlib.figure import Figure

from feature_checks.contract import TEXT
from tests.benchmarks import scenarios
from tests.benchmarks.scenarios import Bench
from tests.benchmarks.spark_scoring import run

SIZES: Final = (1_000, 10_000, 100_000, 1_000_000)


def main(
    bundle: Annotated[Path, typer.Option(help="folder of the bundle to score with")],
    data: Annotated[Path, typer.Option(help="a .csv, .jsonl or .parquet file with texts")],
    output: Annotated[Path, typer.Option(help="folder of the results")],
    sizes: Annotated[list[int] | None, typer.Option("--rows", help="rows of a file; once for each file")] = None,
) -> None:
    """Measure; write the table and the picture."""
    output.mkdir(parents=True, exist_ok=True)
    measured: list[dict[str, Any]] = []
    with TemporaryDirectory() as name, (Path(name) / "servers.log").open("w", encoding="utf-8") as log:
        scratch = Path(name)
        scenarios.write_texts(data, TEXT, scratch / "texts.json")
        bench = Bench(bundle.absolute(), scratch / "texts.json", scratch, 5.0, 1, log)
        start = statistics.median(_score(bench, 1)["seconds"] for _ in range(5))
        alone = scenarios.raw_engine(bench)["per_second"]
        for size in sizes or SIZES:
            result = _score(bench, size)
            before, alone = alone, scenarios.raw_engine(bench)["per_second"]
            per_second = size / (result["seconds"] - start)
            share = per_second / ((before + alone) / 2)
            measured.append({"rows": size, "per_second": per_second, "share": share, "peak_mib": result["peak_mib"]})
            print(measured[-1], flush=True)
    (output / "bulk.json").write_text(json.dumps(measured, indent=2), encoding="utf-8")
    (output / "bulk.md").write_text(table(measured), encoding="utf-8")
    draw(measured, output / "bulk.png")


def _score(bench: Bench, size: int) -> dict[str, float]:
    source, target = bench.state / "rows.parquet", bench.state / "scores.parquet"
    texts = list(itertools.islice(itertools.cycle(bench.all_texts()), size))
    pd.DataFrame({TEXT: texts}).to_parquet(source)
    done = run([str(source), str(target)], bench.bundle, bench.state)
    written = len(pd.read_parquet(target, columns=["row"]))
    target.unlink()
    if written != size:
        raise RuntimeError(f"score wrote {written} rows; expected {size}")
    return {"seconds": done.seconds, "peak_mib": done.peak_mib}


def table(measured: Sequence[dict[str, Any]]) -> str:
    """Return the results in Markdown."""
    lines = ["| Rows | Rows/s after the start | Of the engine alone | Memory, MiB, at most |", "|---|---|---|---|"]
    lines += [
        f"| {row['rows']:,} | {row['per_second']:,.0f} | {row['share']:.0%} | {row['peak_mib']:.0f} |"
        for row in measured
    ]
    return "\n".join([*lines, ""])


def draw(measured: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw the share of the engine's rate, and the memory, over the rows."""
    rows, shares, peaks = zip(*((row["rows"], 100 * row["share"], row["peak_mib"]) for row in measured), strict=True)
    figure = Figure(figsize=(8, 3), layout="constrained")
    speed, memory = figure.subplots(1, 2)
    speed.plot(rows, shares, marker="o")
    speed.set(xscale="log", ylim=(0, 1.1 * max(100, *shares)), xlabel="rows", ylabel="% of the engine alone")
    memory.plot(rows, peaks, marker="o")
    memory.set(xscale="log", ylim=(0, 1.1 * max(peaks)), xlabel="rows", ylabel="memory, MiB, at most")
    figure.savefig(path, dpi=80, metadata={"Software": None})


if __name__ == "__main__":
    typer.run(main)
