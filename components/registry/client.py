"""The connection to MLflow: which server, and where a laptop keeps artifacts."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random

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


def add(call: Callable[..., Any], *arguments: Any) -> None:
    """Make a call that adds something which MLflow keeps once, such as a data set or an alias.

    Of two clients that add it at the same moment, the second is refused, and finds it when it tries again.

    Example: `add(connect().set_registered_model_alias, "review-sentiment", "champion", "3")`.
    """
    from mlflow.exceptions import MlflowException

    attempts = Retrying(
        retry=retry_if_exception_type(MlflowException), stop=stop_after_attempt(3), wait=wait_random(0, 1), reraise=True
    )
    attempts(call, *arguments)


def open_experiment() -> None:
    """Select the project's experiment. With a local database, its artifacts are kept in the state folder."""
    import mlflow

    client = connect()
    if tracking_uri().startswith("sqlite:") and client.get_experiment_by_name(MODEL_NAME) is None:
        client.create_experiment(MODEL_NAME, artifact_location=(state_dir() / "mlartifacts").as_uri())
    mlflow.set_experiment(MODEL_NAME)
