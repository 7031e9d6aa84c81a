"""A registry whose artifacts are on S3: the predictor downloads them from there, not through MLflow."""

from __future__ import annotations

from pathlib import Path

from feature_checks.bundle import Bundle
from serving.models.source import ModelSource
from serving.settings import Settings
from tests.backends.stack import Backends

MODEL = "direct"


def test_a_bundle_on_s3_is_fetched_without_the_tracking_server(
    state: Path, cluster: Backends, tiny_bundle: Bundle
) -> None:
    from mlflow import MlflowClient

    tracking = cluster.variables["MLFLOW_TRACKING_URI"]
    client = MlflowClient(tracking_uri=tracking, registry_uri=tracking)
    run = client.create_run(client.create_experiment(MODEL, artifact_location="s3://models/direct"))
    client.log_artifacts(run.info.run_id, str(tiny_bundle.folder.parent), "model/artifacts")
    client.create_registered_model(MODEL)
    version = client.create_model_version(MODEL, f"{run.info.artifact_uri}/model", run.info.run_id)
    source = ModelSource(
        Settings(state_dir=state, model_uri=f"models:/{MODEL}/{version.version}", mlflow_tracking_uri=tracking)
    )
    try:
        resolved = source.resolve()
        assert resolved.artifact_uri.startswith("s3://models/direct/")
        assert source.load(resolved).bundle.digest == tiny_bundle.digest
    finally:
        source.close()
