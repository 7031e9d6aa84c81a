"""The registered model predicts in environments that are made from the model alone, without this repository."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest
import yaml

from components.registry import artifacts
from components.registry.client import open_experiment
from components.results.candidate import CandidateFolders
from feature_checks.bundle import Bundle
from feature_checks.classifier import OnnxClassifier
from feature_checks.contract import LABELS
from feature_checks.documents.reading import document_probabilities
from tests.support.ports import free_port
from tests.support.waiting import until

TEXTS = ["The zoom is superb.", "It broke after a day.", "It works. " * 200]
BIN = Path(sys.executable).parent


def mlflow(*arguments: str, python: Path = BIN) -> list[str]:
    return [str(python / "mlflow"), "models", *arguments]


def environment(python: Path = BIN) -> dict[str, str]:
    """The variables of a process that has only the programs of `python` and knows nothing of this repository."""
    # MLflow writes the tracking server of this process into variables that start with MLFLOW_.
    ours = ("MLFLOW_", "PYTHONPATH", "VIRTUAL_ENV")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return kept | {"PATH": os.pathsep.join([str(python), os.environ["PATH"]])}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path, tiny_bundle: Bundle) -> Path:
    """Return a folder with a copy of the model as it was registered, and nothing else of the registry."""
    import mlflow

    folder = tmp_path_factory.mktemp("registered")
    (folder / "window").mkdir()
    (folder / "window" / "reference.parquet").write_bytes(b"")
    unused = folder / "unused"
    steps = (tiny_checkpoint, tiny_bundle.folder.parent, unused, unused, unused, unused, folder / "window")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STATE_DIR", str(folder / "state"))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        open_experiment()
        with mlflow.start_run():
            version = artifacts.log_model(CandidateFolders(*steps))
        logged = artifacts.download(f"models:/review-sentiment/{version}", folder / "downloaded")
        shutil.copytree(logged, folder / "model")
    shutil.rmtree(folder / "state")
    return folder / "model"


@pytest.fixture(scope="module")
def alone(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of programs of an environment with the model's requirements."""
    folder = tmp_path_factory.mktemp("environment") / "alone"
    uv = str(BIN / "uv")
    subprocess.run([uv, "venv", "--python", sys.executable, str(folder)], check=True, timeout=60)
    install = [uv, "pip", "install", "--quiet", "--python", str(folder), "-r", str(model / "requirements.txt")]
    subprocess.run(install, check=True, timeout=250)
    return folder / "bin"


@pytest.fixture(scope="module")
def expected(tiny_bundle: Bundle) -> list[dict[str, Any]]:
    rows = document_probabilities(OnnxClassifier(tiny_bundle), TEXTS).tolist()
    best = [{"label": LABELS[row.index(max(row))], "confidence": max(row)} for row in rows]
    return [dict(zip(LABELS, row, strict=True)) | answer for row, answer in zip(rows, best, strict=True)]


def assert_equal(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    assert [answer.pop("label") for answer in found] == [answer["label"] for answer in expected]
    for answer, right in zip(found, expected, strict=True):
        assert answer == pytest.approx({name: right[name] for name in (*LABELS, "confidence")}, abs=1e-6)


def test_the_model_says_what_it_needs_takes_and_returns(model: Path) -> None:
    requirements = dict(line.split("==") for line in (model / "requirements.txt").read_text().split())
    pinned = tomllib.loads(Path("pyproject.toml").read_text())["project"]["dependencies"]
    assert {*pinned, "mlflow", "pandas"} == requirements.keys()
    description = yaml.safe_load((model / "MLmodel").read_text())
    assert json.loads(description["signature"]["inputs"]) == [{"type": "string", "required": True}]
    outputs = [column["name"] for column in json.loads(description["signature"]["outputs"])]
    assert outputs == [*LABELS, "label", "confidence"]
    assert json.loads((model / "input_example.json").read_text()) == ["The zoom works very well."]


def test_mlflow_makes_the_environment_and_predicts(model: Path, expected: list[dict[str, Any]], tmp_path: Path) -> None:
    (tmp_path / "reviews.json").write_text(json.dumps({"inputs": TEXTS}))
    files = ("--input-path", str(tmp_path / "reviews.json"), "--output-path", str(tmp_path / "scored.json"))
    command = mlflow("predict", "--model-uri", str(model), "--env-manager", "uv", *files)
    done = subprocess.run(command, env=environment(), cwd=tmp_path, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-3000:]
    assert_equal(json.loads((tmp_path / "scored.json").read_text())["predictions"], expected)


def test_this_repository_is_not_in_the_environment(alone: Path, tmp_path: Path) -> None:
    command = [str(alone / "python"), "-c", "import mlflow, components"]
    done = subprocess.run(command, env=environment(alone), cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert "No module named 'components'" in done.stderr


def test_mlflow_predicts_a_csv_file(model: Path, alone: Path, expected: list[dict[str, Any]], tmp_path: Path) -> None:
    pd.DataFrame({"text": TEXTS}).to_csv(tmp_path / "reviews.csv", index=False)
    options = ("--model-uri", str(model), "--env-manager", "local", "--content-type", "csv")
    files = ("--input-path", str(tmp_path / "reviews.csv"), "--output-path", str(tmp_path / "scored.json"))
    command = mlflow("predict", *options, *files, python=alone)
    done = subprocess.run(command, env=environment(alone), cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr[-3000:]
    assert_equal(json.loads((tmp_path / "scored.json").read_text())["predictions"], expected)


@contextmanager
def served(model: Path, python: Path, folder: Path) -> Iterator[str]:
    """Run `mlflow models serve`; yield its address."""
    port = free_port()
    options = ("--model-uri", str(model), "--env-manager", "local", "--port", str(port), "--workers", "1")
    with (folder / "serve.log").open("w") as log:
        command = mlflow("serve", *options, python=python)
        process = subprocess.Popen(command, env=environment(python), cwd=folder, stdout=log, stderr=log)
        try:
            until(lambda: process.poll() is not None or answers(f"http://127.0.0.1:{port}/ping"), seconds=120)
            assert process.poll() is None, (folder / "serve.log").read_text()[-3000:]
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(30)


def answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False


def test_mlflow_serves(model: Path, alone: Path, expected: list[dict[str, Any]], tmp_path: Path) -> None:
    with served(model, alone, tmp_path) as address, httpx.Client(base_url=address, timeout=60) as client:
        for body in ({"inputs": TEXTS}, {"dataframe_split": {"columns": ["text"], "data": [[text] for text in TEXTS]}}):
            assert_equal(client.post("/invocations", json=body).json()["predictions"], expected)
        example = (model / "serving_input_example.json").read_bytes()
        answer = client.post("/invocations", content=example, headers={"content-type": "application/json"})
        assert answer.json()["predictions"][0]["label"] in LABELS
        records = [{"id": "7", "text": "It works."}]
        refused = client.post("/invocations", json={"dataframe_records": records})
        assert refused.status_code == 400
        assert "the first column is 'id'; expected 'text'" in refused.json()["message"]
        blank = client.post("/invocations", json={"inputs": ["It works.", " "]})
        assert (blank.status_code, "text[1]: the text is blank" in blank.json()["message"]) == (400, True)
