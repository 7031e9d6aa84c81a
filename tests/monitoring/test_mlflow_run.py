"""A report in a real MLflow on SQLite."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import mlflow
import pandas as pd

from monitoring import mlflow_run
from monitoring.drift.comparison import compare
from monitoring.drift_thresholds import Thresholds
from monitoring.windows.window import Window


def test_a_report_becomes_a_run_with_its_files_scores_and_verdict(
    amazon: tuple[pd.DataFrame, pd.DataFrame],
    window: Callable[..., Window],
    limits: Thresholds,
    state: Path,
) -> None:
    uri = f"sqlite:///{state / 'mlflow.db'}"
    client = mlflow.MlflowClient(tracking_uri=uri)
    report = compare(window(amazon[0], "then"), window(amazon[1], "now"), limits).report
    report = replace(report, expected_accuracy=0.8, expected_accuracy_interval=(0.75, 0.84))
    folder = state / "report"
    folder.mkdir()
    report.save(folder)
    run = client.get_run(mlflow_run.log_report(report, folder, uri))
    assert run.info.status == "FINISHED"
    assert run.data.tags["window"] == "now"
    assert run.data.metrics["drift"] == 0.0
    assert run.data.metrics["domain.score"] < run.data.metrics["domain.threshold"]
    accuracy = {name: value for name, value in run.data.metrics.items() if name.startswith("expected_accuracy")}
    assert accuracy == {"expected_accuracy": 0.8, "expected_accuracy.low": 0.75, "expected_accuracy.high": 0.84}
    assert run.info.artifact_uri.startswith((state / "mlartifacts").as_uri())
    assert [file.path for file in client.list_artifacts(run.info.run_id, "report")] == ["report/report.json"]
