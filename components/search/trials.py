"""One trial of the search: training with some settings, once for each seed, scored on the validation split.

python -m components.search.trials --data split.parquet --learning-rate 1e-4 --epochs 4 --seeds 3

prints `validation_macro_f1=0.765`, which Katib reads.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pandas as pd

from components.modelling import torch_classifier
from components.registry.client import connect, open_experiment
from components.registry.lineage import Lineage, data_digest, log_data, take_injected_run
from components.search.space import DEFAULTS, Suggestion, Trial
from components.train import TrainingSettings, train
from feature_checks.contract import LABEL, MAX_LENGTH, MODEL_NAME, SPLIT, TEXT
from feature_checks.scores import class_indices, macro_f1

METRIC: Final = "validation_macro_f1"
PARENT: Final = "mlflow.parentRunId"
_RUN_NAME: Final = "mlflow.runName"


def without_test(data: str | Path, output: Path) -> dict[str, int]:
    """Write a data set without its test split, which no part of a search may see; return the rows of each split.

    `data`: a Parquet file with a `split` column, path or fsspec URL.
    """
    frame = pd.read_parquet(data)
    kept = frame[frame[SPLIT] != "test"]
    output.parent.mkdir(parents=True, exist_ok=True)
    kept.to_parquet(output, index=False)
    return {str(name): int(count) for name, count in kept[SPLIT].value_counts().items()}


def open_search(data: Path, lineage: Lineage, settings: Mapping[str, Any]) -> str:
    """Start the MLflow run of a search, whose trials become its child runs; return its id.

    `settings` are logged as parameters `search.NAME`.
    """
    take_injected_run()
    open_experiment()
    frame = pd.read_parquet(data)
    tags = {
        "data_digest": data_digest(frame),
        "data_source": lineage.source,
        "extra_data": lineage.extra_data,
        "pipeline_run": lineage.pipeline_run,
        "pipeline_run_id": lineage.pipeline_run_id,
    }
    run_id = _create_run("search", {name: value for name, value in tags.items() if value})
    with failing(run_id):
        # Before any trial: two that run in parallel would both try to add the data set, and MLflow refuses the second.
        log_data(run_id, frame, lineage)
        for name, value in settings.items():
            connect().log_param(run_id, f"search.{name}", value)
    return run_id


def run_trial(suggestion: Suggestion, data: Path, settings: TrainingSettings, seeds: int) -> Trial:
    """Train with the suggested settings once for each of `seeds` seeds; return the scores on the validation split.

    The models are not kept. The trial is an MLflow run below that of the search, and each training a run below the
    trial.
    Raises ValueError for less than one seed. An error in a trial ends the runs of the trial and of the search as
    failed.

    Example: `run_trial(Suggestion(0, {"epochs": 4}), Path("split.parquet"), TrainingSettings(), seeds=3).mean`.
    """
    if seeds < 1:
        raise ValueError(f"seeds: found {seeds}; expected at least 1")
    take_injected_run()
    open_experiment()
    run_id = _create_run(f"trial-{suggestion.number}", {PARENT: suggestion.search_run} if suggestion.search_run else {})
    with failing(run_id, suggestion.search_run):
        trial = _scored(suggestion, data, settings, seeds, run_id)
    client = connect()
    for name, value in trial.params.items():
        client.log_param(run_id, f"train.{name}", value)
    client.log_metric(run_id, METRIC, trial.mean)
    client.log_metric(run_id, f"{METRIC}_deviation", trial.deviation)
    client.set_terminated(run_id)
    return trial


@contextmanager
def failing(*runs: str) -> Iterator[None]:
    """End the MLflow runs as failed if the block raises an error, which goes on. An empty id is no run.

    A step that Kubeflow tries again and that then succeeds does not undo this. The last step of a search ends its run
    as finished.
    """
    try:
        yield
    except BaseException:
        for run_id in filter(None, runs):
            connect().set_terminated(run_id, "FAILED")
        raise


def _scored(suggestion: Suggestion, data: Path, settings: TrainingSettings, seeds: int, run_id: str) -> Trial:
    client, scores = connect(), []
    chosen = replace(settings, **suggestion.params)  # type: ignore[arg-type]
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as scratch:
            trained = train(data, Path(scratch), replace(chosen, seed=seed))
            client.set_tag(trained, PARENT, run_id)
            client.set_tag(trained, _RUN_NAME, f"trial-{suggestion.number}-seed-{seed}")
            scores.append(_validation_score(Path(scratch), data))
        client.log_metric(run_id, f"{METRIC}_of_seed", scores[-1], step=seed)
    return Trial(suggestion.number, suggestion.params, tuple(scores), run_id)


def _validation_score(model: Path, data: Path) -> float:
    """Return the macro-F1 of a trained model on the validation rows."""
    rows = pd.read_parquet(data).query(f"{SPLIT} == 'validation'")
    predicted = torch_classifier.load(model, max_length=MAX_LENGTH).logits(rows[TEXT].tolist()).argmax(axis=1)
    return float(macro_f1(class_indices(rows[LABEL].tolist()), predicted))


def _create_run(name: str, tags: Mapping[str, str]) -> str:
    client = connect()
    experiment = client.get_experiment_by_name(MODEL_NAME)
    return str(client.create_run(experiment.experiment_id, tags=dict(tags), run_name=name).info.run_id)


def main() -> None:
    """Run the command line."""
    import typer

    app = typer.Typer(add_completion=False)

    @app.command(help=__doc__)
    def command(
        data: str = typer.Option(..., help="Parquet file or URL with a `split` column; its test rows are not read."),
        learning_rate: float = typer.Option(DEFAULTS["learning_rate"], help="Peak learning rate."),
        epochs: int = typer.Option(int(DEFAULTS["epochs"]), help="Passes over the training rows."),
        seeds: int = typer.Option(3, min=1, help="Trainings whose scores are averaged."),
        base_model: str = typer.Option(TrainingSettings.base_model, help="As for components.train."),
        max_rows: int = typer.Option(0, help="Train on at most this many rows; 0 for all."),
    ) -> None:
        params = {"learning_rate": learning_rate, "epochs": epochs}
        with tempfile.TemporaryDirectory() as scratch:
            seen = Path(scratch) / "data.parquet"
            without_test(data, seen)
            settings = TrainingSettings(base_model=base_model, max_rows=max_rows)
            trial = run_trial(Suggestion(0, params), seen, settings, seeds)
        typer.echo(f"{METRIC}={trial.mean:.4f}")

    app()


if __name__ == "__main__":
    main()
