"""What retraining gains on the new domain and costs on the old one, for several seeds.

python -m tests.benchmarks.retraining                       seeds 0, 1 and 2, an hour on 2 cores
python -m tests.benchmarks.retraining --seed 7              another seed
python -m tests.benchmarks.retraining --retrain epochs=1    another recipe

For each seed the training pipeline makes a champion of the Amazon reviews and goes on from it with the labelled tweets
that the demo replays. Finished stages are kept in STATE_DIR/bench/retraining/seed-N and not repeated.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean
from typing import Annotated, Any

import pandas as pd
import typer
from rich.console import Console
from rich.table import Table

from components.datasets import icwsm2014
from feature_checks import bundle as bundles
from feature_checks.classifier import OnnxClassifier
from feature_checks.contract import GROUP_ID, LABEL, ROW_ID, SOURCE, SPLIT, TEXT
from feature_checks.scores import class_indices, macro_f1
from feature_checks.splits import group_of_text, split_of_group
from feature_checks.state import state_dir
from pipelines.demo.drift import FIRST, SECOND, shuffled_splits

console = Console()


@dataclass(frozen=True)
class Outcome:
    """One seed: macro-F1 of champion and candidate as served (INT8), and the decision of the gate."""

    seed: int
    tweets_before: float
    tweets_after: float
    amazon_before: float
    amazon_after: float
    amazon_change: float
    amazon_change_bound: float
    accepted: bool
    reasons: list[str]


def main(
    seed: Annotated[list[int], typer.Option(help="as often as needed")] = [0, 1, 2],  # noqa: B006
    retrain: Annotated[list[str], typer.Option(help="NAME=VALUE for the second training")] = ["epochs=2"],  # noqa: B006
    param: Annotated[list[str], typer.Option(help="NAME=VALUE for both trainings")] = [],  # noqa: B006
) -> None:
    """Train, retrain and measure; write STATE_DIR/bench/retraining.json."""
    root = state_dir() / "bench" / "retraining"
    root.mkdir(parents=True, exist_ok=True)
    tweets = shuffled_splits(icwsm2014.load(["tweets"], state_dir() / "data"))
    labelled = root / "labelled.parquet"
    rows = tweets["train"][FIRST : FIRST + SECOND]
    groups = rows[TEXT].map(group_of_text)
    rows = rows[[TEXT, LABEL, ROW_ID]].assign(**{GROUP_ID: groups}).assign(**{SOURCE: "feedback"})
    rows.assign(**{SPLIT: rows[GROUP_ID].map(split_of_group)}).to_parquet(labelled)
    outcomes = []
    for number in seed:
        folder = root / f"seed-{number}"
        champion = pipeline(folder, "champion", [f"seed={number}", *param])
        warm = ["base_model=models:/review-sentiment@champion", f"extra_data={labelled}"]
        candidate = pipeline(folder, "candidate", [f"seed={number}", *warm, *retrain, *param])
        outcomes.append(measure(number, champion, candidate, tweets["test"]))
        write(root.with_suffix(".json"), outcomes, retrain)
    console.print(table(outcomes))


def pipeline(state: Path, stage: str, params: list[str]) -> Path:
    """Run the training pipeline in a state folder of its own unless this stage is finished; return its outputs."""
    done = state / f"{stage}.json"
    if not done.exists():
        console.rule(f"{state.name}: {stage}")
        options = [word for param in params for word in ("--param", param)]
        command = [sys.executable, "-m", "pipelines.run", "local", "training", *options]
        state.mkdir(parents=True, exist_ok=True)
        environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
        result = subprocess.run(
            command, env=environment | {"STATE_DIR": str(state)}, stdout=subprocess.PIPE, text=True, check=True
        )
        done.write_text(result.stdout.strip().splitlines()[-1], encoding="utf-8")
    return Path(json.loads(done.read_text(encoding="utf-8"))["folder"])


def measure(seed: int, champion: Path, candidate: Path, tweets: pd.DataFrame) -> Outcome:
    """Read the gate's decision and score both bundles on the tweets."""
    decision = json.loads((candidate / "gate" / "decision" / "decision.json").read_text(encoding="utf-8"))
    before, after = (tweet_score(run / "export" / "exported" / "bundle", tweets) for run in (champion, candidate))
    change = decision["champion"]["change"]
    return Outcome(
        seed=seed,
        tweets_before=before,
        tweets_after=after,
        amazon_before=decision["champion"]["score"]["macro_f1"],
        amazon_after=decision["candidate"]["macro_f1"],
        amazon_change=change["macro_f1"],
        amazon_change_bound=change["lower_bound"],
        accepted=decision["accepted"],
        reasons=decision["reasons"],
    )


def tweet_score(bundle: Path, tweets: pd.DataFrame) -> float:
    """Return a bundle's macro-F1 on the rows."""
    predicted = OnnxClassifier(bundles.load(bundle)).probabilities(tweets[TEXT].tolist()).argmax(axis=1)
    return macro_f1(class_indices(tweets[LABEL].tolist()), predicted)


def write(path: Path, outcomes: list[Outcome], retrain: list[str]) -> None:
    """Write the figures so far, with their means."""
    content: dict[str, Any] = {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "retrain": retrain,
        "mean_tweets_gain": mean(one.tweets_after - one.tweets_before for one in outcomes),
        "mean_amazon_change": mean(one.amazon_change for one in outcomes),
        "seeds": [asdict(one) for one in outcomes],
    }
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def table(outcomes: list[Outcome]) -> Table:
    """Return the figures as a table for the terminal."""
    shown = Table("seed", "tweets before", "after", "Amazon before", "after", "change", "lower bound", "gate")
    for one in outcomes:
        figures = list(asdict(one).values())
        signed = [f"{value:+.3f}" for value in figures[5:7]]
        verdict = "accepted" if one.accepted else "; ".join(one.reasons)
        shown.add_row(str(one.seed), *(f"{value:.3f}" for value in figures[1:5]), *signed, verdict)
    return shown


if __name__ == "__main__":
    app = typer.Typer(add_completion=False)
    app.command(help=__doc__)(main)
    app()
