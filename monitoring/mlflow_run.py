"""Logs a drift report as a run of the MLflow experiment `drift`, in the server that registers the models."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from monitoring.drift.drift_report import DriftReport

EXPERIMENT: Final = "drift"


def log_report(report: DriftReport, folder: Path, tracking_uri: str) -> str:
    """Log the files, scores and verdict of a report that was written to `folder`; return the run's id."""
    import mlflow

    client = mlflow.MlflowClient(tracking_uri=tracking_uri)
    existing = client.get_experiment_by_name(EXPERIMENT)
    experiment = existing.experiment_id if existing else _create_experiment(client, tracking_uri)
    tags = {
        "window": report.window,
        "status": report.status,
        "drift": str(report.drift).lower(),
        "model_versions": ",".join(report.model_versions),
    }
    run_id: str = client.create_run(experiment, run_name=report.window, tags=tags).info.run_id
    for measurement in report.measurements:
        client.log_metric(run_id, f"{measurement.detector}.score", measurement.score)
        client.log_metric(run_id, f"{measurement.detector}.threshold", measurement.threshold)
    client.log_metric(run_id, "drift", float(report.drift))
    if report.expected_accuracy is not None and report.expected_accuracy_interval is not None:
        low, high = report.expected_accuracy_interval
        values = {"expected_accuracy": report.expected_accuracy, "expected_accuracy.low": low}
        for name, value in (values | {"expected_accuracy.high": high}).items():
            client.log_metric(run_id, name, value)
    client.log_artifacts(run_id, str(folder), "report")
    client.set_terminated(run_id)
    return run_id


def _create_experiment(client: Any, tracking_uri: str) -> str:
    # Without a server, MLflow would write artifacts to the working directory. They belong next to the database.
    database = tracking_uri.removeprefix("sqlite:///")
    location = (Path(database).absolute().parent / "mlartifacts").as_uri() if database != tracking_uri else None
    experiment: str = client.create_experiment(EXPERIMENT, artifact_location=location)
    return experiment
