"""The connection to MLflow: which server, and where a laptop keeps artifacts."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from feature_checks.contract import MODEL_NAME
from feature_checks.state import state_dir

if TYPE_CHECKING:
    from mlflow import MlflowClient


def tracking_uri() -> str:
    """Return MLflow's tracking URI (environment: MLFLOW_TRACKING_URI; default: SQLite in the state folder)."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{state_dir() / 'mlflow.db'}"


def connect() -> MlflowClient:
    """Point MLflow at the tracking server and return a client.

    MLflow shows no progress bars on the terminal, unless MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR says otherwise.

    Example: `connect().get_model_version_by_alias("review-sentiment", "champion")`.
    """
    import mlflow

    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    mlflow.set_tracking_uri(tracking_uri())
    return mlflow.MlflowClient()


def open_experiment() -> None:
    """Select the project's experiment. With a local database, its artifacts are kept in the state folder."""
    import mlflow

    client = connect()
    if tracking_uri().startswith("sqlite:") and client.get_experiment_by_name(MODEL_NAME) is None:
        client.create_experiment(MODEL_NAME, artifact_location=(state_dir() / "mlartifacts").as_uri())
    mlflow.set_experiment(MODEL_NAME)
