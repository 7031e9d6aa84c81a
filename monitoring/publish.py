"""A written report → an MLflow run of the experiment `drift`, beside the models it watches."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from monitoring.report import DriftReport

EXPERIMENT: Final = "drift"


def to_mlflow(report: DriftReport, folder: Path, tracking_uri: str) -> str:
    """Log the report's files, scores and verdict; return the run's id."""
    import mlflow

    client = mlflow.MlflowClient(tracking_uri=tracking_uri)
    found = client.get_experiment_by_name(EXPERIMENT)
    experiment = found.experiment_id if found else _create_experiment(client, tracking_uri)
    tags = {
        "window": report.window,
        "status": report.status,
        "drift": str(report.drift).lower(),
        "model_versions": ",".join(report.model_versions),
    }
    run_id: str = client.create_run(experiment, run_name=report.window, tags=tags).info.run_id
    for one in report.measurements:
        client.log_metric(run_id, f"{one.detector}.score", one.score)
        client.log_metric(run_id, f"{one.detector}.threshold", one.threshold)
    client.log_metric(run_id, "drift", float(report.drift))
    client.log_artifacts(run_id, str(folder), "report")
    client.set_terminated(run_id)
    return run_id


def _create_experiment(client: Any, tracking_uri: str) -> str:
    # Without a server, MLflow would put artifacts into the working directory: they belong beside the data base.
    database = tracking_uri.removeprefix("sqlite:///")
    location = (Path(database).absolute().parent / "mlartifacts").as_uri() if database != tracking_uri else None
    experiment: str = client.create_experiment(EXPERIMENT, artifact_location=location)
    return experiment
