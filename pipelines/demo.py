"""The whole loop from nothing, through commands and HTTP only: train, serve, score, drift, retrain.

python -m pipelines.demo
python -m pipelines.demo --param epochs=1 --retrain epochs=1     # quicker and worse
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import pandas as pd
import typer
from rich.progress import track
from rich.table import Table

from feature_checks.state import state_dir
from pipelines import demo_drift
from pipelines.demo_command import DemoFailed, console, run_pipeline
from pipelines.server import ServerFailed, ServerProcess

REQUESTS: Final = 500
"""Single-text requests that the latency figures come from."""


@dataclass
class Demo:
    """What the steps found out, and how long each took."""

    folder: Path
    summary: dict[str, Any] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Announce and time one step."""
        console.rule(f"[bold]{name}")
        start = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - start, 1)
        console.print(f"[green]{name}: {self.seconds[name]} s")

    def write(self) -> Path:
        """Write summary.json; return its path."""
        path = self.folder / "summary.json"
        path.write_text(json.dumps(self.summary | {"seconds": self.seconds}, indent=2), encoding="utf-8")
        return path


def main(
    param: list[str] = typer.Option([], help="NAME=VALUE for the training pipeline, as often as needed."),
    retrain: list[str] = typer.Option([], help="NAME=VALUE for the monitoring pipeline, whose retraining it is."),
) -> None:
    """Run the demo; write STATE_DIR/demo/summary.json."""
    demo = Demo(state_dir() / "demo")
    demo.folder.mkdir(parents=True, exist_ok=True)
    try:
        run_steps(demo, param, retrain)
    except (DemoFailed, ServerFailed) as failure:
        console.print(f"[red]the demo stopped: {failure}")
        raise typer.Exit(1) from failure


def run_steps(demo: Demo, params: Sequence[str], retraining: Sequence[str]) -> None:
    """Take the steps in order; write the summary and print the results at the end."""
    with demo.step("train"):
        run = run_pipeline("training", params)
    demo.summary.update(training_summary(run))
    if not demo.summary["gate"]["accepted"]:
        console.print(f"[yellow]the gate refused the candidate: {'; '.join(demo.summary['gate']['reasons'])}")
    rows = test_rows(run)
    with ExitStack() as running:
        with demo.step("serve"):
            start = ServerProcess.start(demo.folder / "server.log", demo_drift.ENVIRONMENT)
            server = running.enter_context(start)
            demo.summary["model_version"] = server.model_version()
        with demo.step("score"):
            demo.summary["serving"] = score(server, rows.head(REQUESTS))
        demo.summary |= demo_drift.close_the_loop(demo, server, demo.folder, rows, retraining)
    path = demo.write()
    console.print(result_table(demo))
    console.print(f"summary   {path}\nartifacts {run}\nserver    {demo.folder / 'server.log'}")


def training_summary(run: Path) -> dict[str, Any]:
    """Return the summary's members that the training run's artifacts hold."""
    evaluation = json.loads((run / "evaluate" / "evaluation" / "evaluation.json").read_text(encoding="utf-8"))
    parity = json.loads((run / "verify" / "verification" / "parity.json").read_text(encoding="utf-8"))
    decision = json.loads((run / "gate" / "decision" / "decision.json").read_text(encoding="utf-8"))
    return {
        "macro_f1": decision["candidate"]["macro_f1"],
        "baseline_macro_f1": evaluation["baseline_macro_f1"],
        "human_macro_f1": evaluation["human_macro_f1"],
        "parity": {name: parity[name] for name in ("fp32", "int8", "batching", "latency_ms", "bundle_bytes")},
        "gate": {"accepted": decision["accepted"], "reasons": decision["reasons"]},
    }


def test_rows(run: Path) -> pd.DataFrame:
    """Return the test split of the training run."""
    frame = pd.read_parquet(run / "split" / "split_data")
    return frame[frame["split"] == "test"]


def score(server: ServerProcess, rows: pd.DataFrame) -> dict[str, Any]:
    """Score each text in a V2 request of its own and some over V1; return latencies and the share of right labels."""
    latencies, labels = [], []
    with httpx.Client(base_url=server.url, timeout=10) as client:
        for text in track(rows["text"].tolist(), description="scoring over V2", console=console):
            start = time.perf_counter()
            labels.append(server.infer(client, text))
            latencies.append(1000 * (time.perf_counter() - start))
        examples = server.predict(client, rows["text"].tolist()[:5])
    show_examples(rows["text"].tolist()[:5], examples)
    cuts = statistics.quantiles(latencies, n=20)
    return {
        "p50_ms": round(statistics.median(latencies), 2),
        "p95_ms": round(cuts[18], 2),
        "requests": len(latencies),
        "accuracy": round(sum(a == b for a, b in zip(labels, rows["label"], strict=True)) / len(labels), 4),
    }


def show_examples(texts: Sequence[str], predictions: Sequence[dict[str, Any]]) -> None:
    """Print some scored reviews."""
    table = Table("review", "label", "confidence")
    for text, prediction in zip(texts, predictions, strict=True):
        table.add_row(text, prediction["label"], f"{prediction['confidence']:.2f}")
    console.print(table)


def result_table(demo: Demo) -> Table:
    """Return what a person wants to know at the end."""
    summary, serving = demo.summary, demo.summary["serving"]
    human = summary["human_macro_f1"]
    table = Table("result", "value", title="review sentiment")
    table.add_row("served model version", str(summary["model_version"]))
    table.add_row("macro-F1 on the test split (as served)", f"{summary['macro_f1']:.3f}")
    table.add_row("VADER baseline", f"{summary['baseline_macro_f1']:.3f}")
    table.add_row("average human rater", "–" if human is None else f"{human:.3f}")
    table.add_row("INT8 labels equal to torch", f"{summary['parity']['int8']['label_agreement']:.2%}")
    table.add_row("gate", "accepted" if summary["gate"]["accepted"] else "; ".join(summary["gate"]["reasons"]))
    table.add_row("latency of one text", f"p50 {serving['p50_ms']} ms, p95 {serving['p95_ms']} ms")
    drift, retrained = summary["drift"], summary["retrained"]
    table.add_row("drift", f"product reviews {drift['same_domain']}, tweets {drift['shifted']}: {summary['decision']}")
    table.add_row(
        "retrained", f"version {retrained['version']}, promoted {retrained['promoted']}: {retrained['reason']}"
    )
    tweets = f"{retrained['macro_f1_before']:.3f} before, {retrained['macro_f1_after']:.3f} after"
    table.add_row("macro-F1 on held-out tweets", tweets)
    for name, seconds in demo.seconds.items():
        table.add_row(f"seconds: {name}", str(seconds))
    return table


if __name__ == "__main__":
    typer.run(main)
