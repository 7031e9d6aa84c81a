"""Whether training on several processes gives as good a model as on one: macro-F1 on the test split, seed by seed.

python -m tests.benchmarks.training_processes                        seeds 0, 1, 2 on one and on two processes
python -m tests.benchmarks.training_processes --epochs 2 --threads 1  for a machine with other work

The default data is used. Each process of a training has one thread if `--threads 1` is given, or else its share of the
cores. Finished trainings are kept in STATE_DIR/bench/training and not repeated.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from statistics import mean
from typing import Annotated, Any

import pandas as pd
import typer

from components.datasets import icwsm2014
from components.modelling.torch_classifier import TorchClassifier
from feature_checks.contract import LABEL, MAX_LENGTH, SPLIT, TEXT
from feature_checks.scores import class_indices, macro_f1
from feature_checks.splits import assign_splits
from feature_checks.state import state_dir


def main(
    seed: Annotated[list[int], typer.Option(help="as often as needed")] = [0, 1, 2],  # noqa: B006
    processes: Annotated[list[int], typer.Option(help="as often as needed")] = [1, 2],  # noqa: B006
    epochs: Annotated[float, typer.Option(help="passes over the training rows")] = 4.0,
    threads: Annotated[int, typer.Option(help="threads of a single process; 0 for all cores")] = 0,
) -> None:
    """Train and measure; write STATE_DIR/bench/training.json."""
    root = state_dir() / "bench" / "training"
    root.mkdir(parents=True, exist_ok=True)
    data = root / "split.parquet"
    assign_splits(icwsm2014.load(["amazon"], state_dir() / "data")).to_parquet(data)
    results = []
    for number in seed:
        for count in processes:
            folder = root / f"seed-{number}-processes-{count}"
            results.append(trained(folder, data, number, count, epochs, threads))
            typer.echo(json.dumps(results[-1]))
    path = root.with_suffix(".json")
    path.write_text(json.dumps({"epochs": epochs, "trainings": results}, indent=1) + "\n", encoding="utf-8")
    typer.echo(table(results))


def trained(folder: Path, data: Path, seed: int, processes: int, epochs: float, threads: int) -> dict[str, Any]:
    """Train unless this training is finished; return its figures, with the processor time of all its processes."""
    done = folder.with_suffix(".json")
    if not done.exists():
        starter = ["torchrun", "--standalone", f"--nproc-per-node={processes}", "-m"] if processes > 1 else []
        program = [str(Path(sys.executable).with_name(starter[0])), *starter[1:]] if starter else [sys.executable, "-m"]
        options = [f"--data={data}", f"--output={folder}", f"--seed={seed}", f"--epochs={epochs}"]
        limited = {"OMP_NUM_THREADS": str(threads)} if threads and processes == 1 else {}
        before = _processor_seconds()
        subprocess.run([*program, "components.train", *options], env=os.environ | limited, check=True)
        figures = {"seed": seed, "processes": processes, "macro_f1": test_score(folder, data)}
        figures |= {"processor_seconds": round(_processor_seconds() - before, 1)}
        done.write_text(json.dumps(figures), encoding="utf-8")
    found: dict[str, Any] = json.loads(done.read_text(encoding="utf-8"))
    return found


def test_score(model: Path, data: Path) -> float:
    """Return the macro-F1 of a trained model on the test rows."""
    rows = pd.read_parquet(data).query(f"{SPLIT} == 'test'")
    predicted = TorchClassifier(model, max_length=MAX_LENGTH).logits(rows[TEXT].tolist()).argmax(axis=1)
    return float(macro_f1(class_indices(rows[LABEL].tolist()), predicted))


def table(results: list[dict[str, Any]]) -> str:
    """Return macro-F1 as a Markdown table: a row for each seed, a column for each number of processes."""
    counts = sorted({one["processes"] for one in results})
    scores = {(one["seed"], one["processes"]): one["macro_f1"] for one in results}
    seeds = sorted({one["seed"] for one in results})
    rows = [[str(seed), *(f"{scores[seed, count]:.4f}" for count in counts)] for seed in seeds]
    rows.append(["mean", *(f"{mean(scores[seed, count] for seed in seeds):.4f}" for count in counts)])
    head = ["Seed", *(f"{count} processes" if count > 1 else "1 process" for count in counts)]
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows])


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    app = typer.Typer(add_completion=False)
    app.command(help=__doc__)(main)
    app()
