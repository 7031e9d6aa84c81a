"""Commands that run pipelines on this machine, with one line a step."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from pipelines.cli.kubeflow import FOLDER, PARAM

if TYPE_CHECKING:
    from pipelines.display.screen import Screen

NEWEST_PREDICTIONS: Final = 500
"""Rows of a local monitoring window: the size that the drift thresholds are calibrated for."""
OF_THE_SEARCH: Final = frozenset({"max_rows", "trials", "seeds", "seed"})
"""Parameters of a search that a training with its result does not take over."""
_VERBOSE: Final = typer.Option(False, "--verbose", help="Show everything that the steps print.")


def train(
    source: str = typer.Argument(
        "", help="Your reviews: a file, folder or URL. Without it the default data is used.", show_default=False
    ),
    param: list[str] = PARAM,
    compiled: Path = FOLDER,
    verbose: bool = _VERBOSE,
) -> None:
    """Run the training pipeline on this machine: a candidate is trained, judged and registered.

    One line is shown for each step. Everything that the steps print goes to a log file for each. An accepted
    candidate becomes the champion, which `review-sentiment serve` serves.

    \b
    Example:
      review-sentiment train
      review-sentiment train reviews.csv --param rating_scale=1..5 --param epochs=2
    """
    from pipelines.display.runner import run_pipeline

    with _screen(verbose) as screen:
        run = run_pipeline("training", [*([f"source={source}"] if source else []), *param], screen, compiled)
        screen.note(f"outputs {run.folder}")
        screen.note(f"logs    {run.logs}")


def search(
    source: str = typer.Argument(
        "", help="Your reviews: a file, folder or URL. Without it the default data is used.", show_default=False
    ),
    param: list[str] = PARAM,
    compiled: Path = FOLDER,
    verbose: bool = _VERBOSE,
) -> None:
    """Search the settings of the training pipeline on this machine: those that score best on the validation split.

    Each trial trains with several seeds, and their mean counts. The test split is left out. Nothing is registered: the
    last line is the command that trains with what was found. The trials and their plots are in MLflow.

    \b
    Example:
      review-sentiment search reviews.csv
      review-sentiment search reviews.csv --param trials=6 --param seeds=2
    """
    from pipelines.display.runner import run_pipeline

    with _screen(verbose) as screen:
        run = run_pipeline("search", [*([f"source={source}"] if source else []), *param], screen, compiled)
        report = run.output("choose", "search.md")
        screen.note(f"report  {report}")
        screen.note(f"logs    {run.logs}")
        options = (report.parent / "options.txt").read_text(encoding="utf-8")
        data = [shlex.quote(source)] if source else []
        given = [f"--param {shlex.quote(text)}" for text in param if text.partition("=")[0] not in OF_THE_SEARCH]
        screen.note(" ".join(("train   review-sentiment train", *data, *given, options.strip())))


def monitor(
    param: list[str] = PARAM,
    verbose: bool = _VERBOSE,
) -> None:
    """Run the monitoring pipeline on this machine: a drift report, a decision, and retraining on drift.

    It judges the champion's newest 500 predictions, however old they are, in the log of the local predictor
    (PREDICTION_LOG, by default STATE_DIR/predictions). With hours=24 it judges the last complete day (UTC) instead, as
    a scheduled run does. Reports and decisions are kept in STATE_DIR/drift/history. Parameters change any of that.

    \b
    Example:
      review-sentiment monitor
      review-sentiment monitor --param rows=200
      review-sentiment monitor --param log=s3://bucket/predictions --param hours=24
    """
    from pipelines.display.runner import run_pipeline

    with _screen(verbose) as screen:
        run = run_pipeline("monitoring", monitoring_params(param), screen)
        screen.note(f"report  {run.output('watch', 'report.html')}")
        screen.note(f"logs    {run.logs}")


def monitoring_params(given: Sequence[str]) -> list[str]:
    """Return the NAME=VALUE parameters of a local monitoring run: the defaults on this machine, then those given.

    The newest predictions are judged at once. A window of hours would end at the last full hour or day, so that a
    person who has just sent texts would not see them.

    Example: `monitoring_params(["hours=24"])` contains no `rows`.
    """
    from feature_checks.state import state_dir

    state = state_dir()
    defaults = {
        "log": os.environ.get("PREDICTION_LOG") or state / "predictions",
        "history": state / "drift" / "history",
        "labelled": state / "drift" / "labelled.parquet",
        "workspace": state / "evidently",
    }
    rows = [] if any(text.startswith("hours=") for text in given) else [f"rows={NEWEST_PREDICTIONS}"]
    return [*(f"{name}={value}" for name, value in defaults.items()), *rows, *given]


def demo(
    param: list[str] = typer.Option([], help="NAME=VALUE for the training pipeline, as often as needed."),
    retrain: list[str] = typer.Option([], help="NAME=VALUE for the monitoring pipeline, which retrains."),
    verbose: bool = _VERBOSE,
) -> None:
    """Run the whole loop from nothing: train, serve, score, drift, retrain. It takes about ten minutes on two cores.

    The results go to STATE_DIR/demo/summary.json.

    \b
    Example:
      review-sentiment demo
      review-sentiment demo --param epochs=1 --retrain epochs=1
    """
    from pipelines.demo.story import run_demo

    with _screen(verbose) as screen:
        run_demo(screen, param, retrain)


@contextmanager
def _screen(verbose: bool) -> Iterator[Screen]:
    """Yield the screen. A failure ends the command with its reason and log as the last lines."""
    from pipelines.display.processes import Interrupted, interruptible
    from pipelines.display.runner import CommandFailed
    from pipelines.display.screen import screen_for
    from pipelines.predictor_process import PredictorFailed

    screen = screen_for(verbose=verbose)
    try:
        with interruptible():
            yield screen
    except CommandFailed as failure:
        typer.echo(f"\n{failure.what} failed:\n{failure.reason}\nlog: {failure.log}", err=True)
        raise typer.Exit(1) from None
    except PredictorFailed as failure:
        typer.echo(f"\n{failure}\nlog: {failure.log}", err=True)
        raise typer.Exit(1) from None
    except Interrupted as interruption:
        typer.echo("\ninterrupted; the running step was ended, and nothing runs on", err=True)
        raise typer.Exit(interruption.exit_code) from None
