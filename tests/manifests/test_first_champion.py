"""The bootstrap Job's script: an import from another registry, and nothing where there is a champion."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from feature_checks.contract import MODEL_NAME

from .conftest import Rendered
from .render import MANIFESTS, ROOT, of_kind

SCRIPT = MANIFESTS / "base" / "training" / "first_champion.py"


def run(target: str, **options: str) -> subprocess.CompletedProcess[str]:
    words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", value)]
    environment = os.environ | {"MLFLOW_TRACKING_URI": target, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, SCRIPT, "--compiled", "training.yaml", "--source", "x", *words],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def registries(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A registry whose second version is champion, and an empty one."""
    from mlflow import MlflowClient

    folder = tmp_path_factory.mktemp("registries")
    (folder / "bundle").mkdir()
    (folder / "bundle" / "manifest.json").write_text("{}", encoding="utf-8")
    uris = tuple(f"sqlite:///{folder}/{name}.db" for name in ("source", "target"))
    for name, uri in zip(("source", "target"), uris, strict=True):
        MlflowClient(uri, uri).create_experiment("imports", (folder / name).as_uri())
    client = MlflowClient(uris[0], uris[0])
    client.create_registered_model(MODEL_NAME)
    experiment = client.get_experiment_by_name("imports")
    assert experiment is not None
    for number in (1, 2):
        made = client.create_run(experiment.experiment_id)
        client.log_artifacts(made.info.run_id, str(folder / "bundle"), "model/artifacts/bundle")
        client.create_model_version(
            MODEL_NAME, f"{made.info.artifact_uri}/model", made.info.run_id, tags={"gate": "accepted", "n": str(number)}
        )
    client.set_registered_model_alias(MODEL_NAME, "champion", "2")
    return uris[0], uris[1]


def test_a_champion_is_imported_once_with_its_files_and_tags(registries: tuple[str, str], tmp_path: Path) -> None:
    import mlflow
    from mlflow import MlflowClient

    source, target = registries
    first = run(target, import_from=source)
    assert first.returncode == 0, first.stderr
    assert "imported as version 1" in first.stdout
    made = MlflowClient(target, target).get_model_version_by_alias(MODEL_NAME, "champion")
    assert (made.tags["gate"], made.tags["n"]) == ("accepted", "2")
    assert made.tags["imported_from"].endswith("version 2")
    files = mlflow.artifacts.download_artifacts(made.source, dst_path=str(tmp_path), tracking_uri=target)
    assert (Path(files) / "artifacts" / "bundle" / "manifest.json").read_text() == "{}"
    assert "version 1 is champion already" in run(target, import_from=source).stdout
    assert "version 2 is champion already" in run(source).stdout


def test_a_registry_without_a_champion_cannot_be_imported_from(tmp_path: Path) -> None:
    empty, target = f"sqlite:///{tmp_path}/empty.db", f"sqlite:///{tmp_path}/target.db"
    refused = run(target, import_from=empty)
    assert refused.returncode != 0
    assert "has the alias champion" in refused.stderr


@pytest.mark.timeout(600)
def test_an_empty_registry_gets_its_first_champion_by_training(
    rendered: Rendered, small_reviews: pd.DataFrame, tmp_path: Path
) -> None:
    """The Job's own command, on reviews that are learned in seconds."""
    from mlflow import MlflowClient

    frame = small_reviews.sample(frac=1, random_state=3, ignore_index=True)
    frame.assign(split=["train", "train", "validation", "test"] * (len(frame) // 4)).to_csv(tmp_path / "reviews.csv")
    documents = list(yaml.safe_load_all((MANIFESTS / "pipelines" / "training.yaml").read_text(encoding="utf-8")))
    parameters = documents[0]["root"]["inputDefinitions"]["parameters"]
    parameters["epochs"]["defaultValue"], parameters["learning_rate"]["defaultValue"] = 3.0, 5e-4
    (tmp_path / "training.yaml").write_text(yaml.safe_dump_all(documents), encoding="utf-8")

    (job,) = [one for one in of_kind(rendered("prod/training"), "Job") if one["metadata"]["name"] == "bootstrap"]
    (container,) = job["spec"]["template"]["spec"]["containers"]
    values = {"$(SOURCE)": str(tmp_path / "reviews.csv"), "$(IMPORT_FROM)": "", "/tmp/compiled": str(tmp_path)}  # noqa: S108
    words = "\n".join(container["args"])
    for placed, value in values.items():
        assert placed in words
        words = words.replace(placed, value)
    target = f"sqlite:///{tmp_path}/mlflow.db"
    settings = {"MLFLOW_TRACKING_URI": target, "STATE_DIR": str(tmp_path / "state"), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, SCRIPT, *words.split("\n")],
        env=os.environ | settings, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "champion: version 1" in done.stdout
    assert MlflowClient(target, target).get_model_version_by_alias(MODEL_NAME, "champion").tags["gate"] == "accepted"
