"""Give an empty registry its first champion: train one, or import the champion of another registry.

python first_champion.py --compiled training.yaml --source icwsm2014:amazon
python first_champion.py --compiled training.yaml --source … --import-from https://mlflow.staging.example
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from feature_checks.contract import MODEL_NAME

SOURCE_CREDENTIALS = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")


def champion_of(uri: str) -> str | None:
    """Return the version behind the alias champion of the registry at `uri`, or None where there is none."""
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    try:
        return str(MlflowClient(uri, uri).get_model_version_by_alias(MODEL_NAME, "champion").version)
    except MlflowException as error:
        if error.error_code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
            return None
        raise


def import_champion(source: str, target: str) -> str:
    """Copy the champion's files and tags from one registry to the other, and make the copy champion.

    Returns its version in `target`. Raises RuntimeError where `source` has no champion.
    """
    import mlflow
    from mlflow import MlflowClient

    with _source_credentials():
        version = champion_of(source)
        if version is None:
            raise RuntimeError(f"--import-from {source}: no version of {MODEL_NAME} has the alias champion there")
        known = MlflowClient(source, source).get_model_version(MODEL_NAME, version)
    with tempfile.TemporaryDirectory() as folder:
        with _source_credentials():
            where = MlflowClient(source, source).get_model_version_download_uri(MODEL_NAME, version)
            files = mlflow.artifacts.download_artifacts(where, dst_path=folder, tracking_uri=source)
        return _publish(Path(files), dict(known.tags) | {"imported_from": f"{source} version {version}"}, target)


def _publish(files: Path, tags: dict[str, str], target: str) -> str:
    from mlflow import MlflowClient

    client = MlflowClient(target, target)
    experiment = client.get_experiment_by_name("imports")
    run = client.create_run(experiment.experiment_id if experiment else client.create_experiment("imports"))
    client.log_artifacts(run.info.run_id, str(files), "model")
    client.set_terminated(run.info.run_id)
    if not client.search_registered_models(f"name='{MODEL_NAME}'"):
        client.create_registered_model(MODEL_NAME)
    made = client.create_model_version(MODEL_NAME, f"{run.info.artifact_uri}/model", run.info.run_id, tags=tags)
    client.set_registered_model_alias(MODEL_NAME, "champion", str(made.version))
    return str(made.version)


@contextmanager
def _source_credentials() -> Iterator[None]:
    """Use IMPORT_USERNAME and IMPORT_PASSWORD, where they are set, as MLflow's credentials for a while."""
    given = {f"MLFLOW_TRACKING_{key}": os.environ.get(f"IMPORT_{key}", "") for key in ("USERNAME", "PASSWORD")}
    before = {name: os.environ.pop(name, None) for name in SOURCE_CREDENTIALS}
    os.environ.update({name: value for name, value in given.items() if value})
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def main() -> int:
    """Run the command line; return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--compiled", type=Path, required=True, help="The compiled training pipeline.")
    parser.add_argument("--source", required=True, help="The reviews to train on.")
    parser.add_argument("--import-from", default="", help="Tracking URI of a registry with a champion; empty: train.")
    arguments = parser.parse_args()
    target = os.environ["MLFLOW_TRACKING_URI"]
    version = champion_of(target)
    if version is not None:
        print(f"version {version} is champion already: nothing to do")
        return 0
    if arguments.import_from:
        print(f"imported as version {import_champion(arguments.import_from, target)}")
        return 0
    from pipelines.local import run_local

    run_local(arguments.compiled, {"source": arguments.source, "promotion": "auto"})
    version = champion_of(target)
    print(f"champion: version {version}")
    return 0 if version is not None else 1


if __name__ == "__main__":
    sys.exit(main())
