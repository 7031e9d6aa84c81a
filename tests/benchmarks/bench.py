"""Throughput and latency in one run on one machine, load generator included: `make bench`.

python -m tests.benchmarks.bench                       on the champion
python -m tests.benchmarks.bench --bundle FOLDER       on a bundle folder
python -m tests.benchmarks.bench --peers               and beside MLServer, BentoML, LitServe, infinity and KServe
python -m tests.benchmarks.bench --peers-only          only beside them
"""

from __future__ import annotations

import json
import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from serving.models.source import ModelSource
from serving.settings import Settings
from tests.benchmarks import neighbours, scenarios
from tests.benchmarks.peers import measure
from tests.benchmarks.scenarios import Bench, Result


def main(
    bundle: Annotated[Path | None, typer.Option(help="a bundle folder; default: what MODEL_URI names")] = None,
    texts: Annotated[Path | None, typer.Option(help="CSV, JSONL or Parquet; default: the Amazon reviews")] = None,
    seconds: Annotated[float, typer.Option(help="length of each load")] = 6.0,
    overload_seconds: Annotated[float, typer.Option(help="length of the overload")] = 60.0,
    peers: Annotated[bool, typer.Option("--peers", help="also measure the servers of other projects")] = False,
    peers_only: Annotated[bool, typer.Option("--peers-only", help="measure nothing else")] = False,
) -> None:
    """Measure, write STATE_DIR/bench/results.json and print the ratios; of the other servers, peers.json and peers.md.

    The packages of the other servers are installed at the first run, into STATE_DIR/bench/peers.
    """
    console = Console()
    folder = Settings().state_dir / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, (folder / "servers.log").open("w") as log:
        file = Path(scratch, "texts.json")
        source = texts or _default_texts(Path(scratch))
        scenarios.write_texts(source, "text", file)
        bench = Bench((bundle or _bundle()).absolute(), file, Path(scratch), seconds, overload_seconds, log)
        if not peers_only:
            found = _measure(bench, console)
            ratios = _ratios(found)
            _write(folder / "results.json", ratios=ratios, measurements=found)
            _print(console, found, ratios)
            console.print(f"{folder / 'results.json'}")
        if peers or peers_only:
            _measure_peers(bench, folder, console)


def _write(path: Path, **results: Any) -> None:
    machine = {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": len(os.sched_getaffinity(0)),
        "load_average": os.getloadavg(),
    }
    path.write_text(json.dumps(machine | results, indent=2) + "\n", encoding="utf-8")


def _measure_peers(bench: Bench, folder: Path, console: Console) -> None:
    measured = measure.measure(bench, folder / "peers", lambda line: console.print(line, highlight=False))
    _write(folder / "peers.json", results=measured.results, not_run=measured.not_run)
    (folder / "peers.md").write_text(measure.table(measured), encoding="utf-8")
    console.print(measure.table(measured), soft_wrap=True, highlight=False, markup=False)
    console.print(f"{folder / 'peers.json'}")


def _bundle() -> Path:
    source = ModelSource(Settings())
    try:
        return source.load(source.resolve()).bundle.folder
    finally:
        source.close()


def _default_texts(scratch: Path) -> Path:
    from components.datasets import icwsm2014

    path = scratch / "amazon.jsonl"
    icwsm2014.load(["amazon"], Settings().state_dir / "data").to_json(path, orient="records", lines=True)
    return path


def _measure(bench: Bench, console: Console) -> dict[str, Result]:
    found: dict[str, Result] = {}

    def add(results: dict[str, Result]) -> None:
        for name, result in results.items():
            found[name] = result
            console.print(f"{name}: {result}", highlight=False)

    add(scenarios.uncached(bench))
    add(scenarios.cached(bench))
    add(scenarios.overload(bench, found["single, 64 connections"]["per_second"]))
    add(neighbours.measure(bench))
    return found


def _ratios(found: dict[str, Result]) -> list[dict[str, Any]]:
    """Return each aim: its name, the measured value, the bound, and whether it holds."""

    def rate(name: str) -> float:
        return float(found[name]["per_second"])

    at_64 = rate("single, 64 connections")
    hits, flooded = rate("all cache hits"), found["overload, 5 x capacity"]
    limit = 1.3 * found["plain loop, one text"]["p50_ms"] + 1
    at_least = [
        ("single texts at 64 connections / raw engine", at_64 / rate("raw engine"), 0.75),
        ("single texts at 64 connections / plain KServe", at_64 / rate("plain KServe, 64 connections"), 2.5),
        ("all cache hits / bare route", hits / rate("bare Starlette route"), 0.5),
        ("all cache hits / KServe null model", hits / rate("KServe null model"), 3.0),
        ("Zipf repeats, cold cache / uncached", rate("Zipf repeats, cold cache") / at_64, 3.0),
        (
            "1,000 texts in one request / raw engine",
            found["1,000 texts in one request"]["texts_per_second"] / rate("raw engine"),
            0.9,
        ),
    ]
    at_most = [
        ("p95 at 32 connections, ms", found["single, 32 connections"]["p95_ms"], 150.0),
        ("p95 at 70 % of capacity, open loop, ms", found["single, evenly at 70 %"]["p95_ms"], 50.0),
        ("p50 at 1 connection, ms", found["single, 1 connections"]["p50_ms"], limit),
        ("p95 of single texts beside 1,000 texts, ms", found["single, beside 1,000 texts"]["p95_ms"], 150.0),
        ("p95 of accepted requests at 5 x capacity, ms", flooded["p95_ms"], 250.0),
        ("recovery after the overload, s", found["after the overload"]["last_refused_at"], 2.0),
        ("memory growth under overload, MiB", flooded["resident_mib_after"] - flooded["resident_mib_before"], 20.0),
    ]
    for what, value, sign, bound in neighbours.ratios(found):
        (at_least if sign == ">=" else at_most).append((what, value, bound))
    rows = [(*row, ">=", row[1] >= row[2]) for row in at_least] + [(*row, "<=", row[1] <= row[2]) for row in at_most]
    return [
        {"what": what, "value": round(value, 3), "bound": f"{sign} {bound:.4g}", "holds": bool(holds)}
        for what, value, bound, sign, holds in rows
    ]


def _print(console: Console, found: dict[str, Result], ratios: list[dict[str, Any]]) -> None:
    loads = Table("load", "per second", "p50 ms", "p95 ms", "p99 ms", "server CPU ms", "statuses", title="measurements")
    for name, result in found.items():
        loads.add_row(
            name,
            *(
                str(result.get(key, ""))
                for key in ("per_second", "p50_ms", "p95_ms", "p99_ms", "server_cpu_ms", "statuses")
            ),
        )
    promises = Table("promise", "value", "bound", "holds", title="ratios of this run")
    for row in ratios:
        promises.add_row(row["what"], str(row["value"]), row["bound"], "yes" if row["holds"] else "[red]no")
    console.print(loads, promises)


if __name__ == "__main__":
    typer.run(main)
