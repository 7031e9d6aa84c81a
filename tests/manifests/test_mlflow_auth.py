"""MLflow as the platform part runs it: its database Jobs, its accounts, and who may move the alias champion."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from feature_checks.contract import MODEL_NAME
from tests.support.ports import free_port
from tests.support.waiting import until

from .conftest import Rendered
from .render import MANIFESTS, Document, of_kind

ADMIN, READER, PIPELINES = (
    ("admin", "admin-password-1"),
    ("predictor", "reader-password-1"),
    ("pipelines", "p-password-1"),
)
CREATE_USERS = MANIFESTS / "base" / "platform" / "create_users.py"


@dataclass(frozen=True)
class Registry:
    """A running MLflow and its address."""

    uri: str

    def call(self, method: str, path: str, account: tuple[str, str] | None, **body: Any) -> httpx.Response:
        """Send a request of MLflow's REST API."""
        return httpx.request(method, f"{self.uri}/api/2.0/mlflow/{path}", auth=account, json=body, timeout=60)


def container(documents: list[Document], kind: str, name: str) -> list[dict[str, Any]]:
    """Return the init containers and containers of a workload."""
    (found,) = [one for one in of_kind(documents, kind) if one["metadata"]["name"] == name]
    pod = found["spec"]["template"]["spec"]
    return [*pod.get("initContainers", []), *pod["containers"]]


def command(box: dict[str, Any], **values: str) -> list[str]:
    """Return a container's command line for this interpreter, its $(VARIABLES) filled in."""
    words = [sys.executable if word == "python" else word for word in [*box["command"], *box.get("args", [])]]
    for name, value in values.items():
        words = [word.replace(f"$({name})", value) for word in words]
    return words


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory, rendered: Rendered) -> Iterator[Registry]:
    """The database Jobs, then the server, as in the manifests, on SQLite and a free port."""
    folder, port = tmp_path_factory.mktemp("mlflow"), free_port()
    documents, database = rendered("prod/platform"), f"sqlite:///{folder}/mlflow.db"
    for box in container(documents, "Job", "mlflow-database"):
        subprocess.run(command(box, MLFLOW_BACKEND_STORE_URI=database), check=True, cwd=folder)
    (folder / "basic-auth.ini").write_text(f"[mlflow]\ndefault_permission = READ\ndatabase_uri = {database}\n")
    (server,) = container(documents, "Deployment", "mlflow")
    assert {"MLFLOW_AUTH_CONFIG_PATH", "MLFLOW_AUTH_ADMIN_PASSWORD"} <= {one["name"] for one in server["env"]}
    environment = os.environ | {
        "MLFLOW_BACKEND_STORE_URI": database,
        "MLFLOW_ARTIFACTS_DESTINATION": str(folder / "artifacts"),
        "MLFLOW_AUTH_CONFIG_PATH": str(folder / "basic-auth.ini"),
        "MLFLOW_AUTH_ADMIN_USERNAME": ADMIN[0],
        "MLFLOW_AUTH_ADMIN_PASSWORD": ADMIN[1],
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "key",
    }
    words = [str(port) if word == "5000" else {"0.0.0.0": "127.0.0.1"}.get(word, word) for word in command(server)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(words, env=environment, stdout=log, stderr=log, process_group=0, cwd=folder)
    made = Registry(f"http://127.0.0.1:{port}")
    try:
        until(lambda: _healthy(made.uri), 280)
        create_users(made.uri)
        yield made
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _healthy(uri: str) -> bool:
    try:
        return httpx.get(f"{uri}/health", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def create_users(uri: str, reader: str = READER[1]) -> subprocess.CompletedProcess[str]:
    """Run the script of the Job mlflow-users."""
    environment = {
        "MLFLOW_TRACKING_URI": uri,
        "MLFLOW_TRACKING_USERNAME": ADMIN[0],
        "MLFLOW_TRACKING_PASSWORD": ADMIN[1],
        "READER_USERNAME": READER[0],
        "READER_PASSWORD": reader,
        "PIPELINES_USERNAME": PIPELINES[0],
        "PIPELINES_PASSWORD": PIPELINES[1],
    }
    return subprocess.run([sys.executable, CREATE_USERS], env=environment, check=True, capture_output=True, text=True)


def test_nobody_reads_the_registry_without_an_account(registry: Registry) -> None:
    path = "registered-models/search?max_results=1"
    assert registry.call("GET", path, None).status_code == 401
    assert registry.call("GET", path, (READER[0], "wrong")).status_code == 401
    assert registry.call("GET", path, READER).status_code == 200


def test_the_pipelines_move_the_champion_and_the_predictors_only_read_it(registry: Registry) -> None:
    made = registry.call("POST", "registered-models/create", PIPELINES, name=MODEL_NAME)
    assert made.status_code == 200, made.text
    experiment = registry.call("POST", "experiments/create", PIPELINES, name="tests").json()["experiment_id"]
    run = registry.call("POST", "runs/create", PIPELINES, experiment_id=experiment).json()["run"]["info"]
    source = {"source": f"{run['artifact_uri']}/model", "run_id": run["run_id"]}
    version = registry.call("POST", "model-versions/create", PIPELINES, name=MODEL_NAME, **source)
    assert version.status_code == 200, version.text
    alias = {"name": MODEL_NAME, "alias": "champion", "version": "1"}
    assert registry.call("POST", "registered-models/alias", READER, **alias).status_code == 403
    assert registry.call("POST", "registered-models/alias", PIPELINES, **alias).status_code == 200
    found = registry.call("GET", f"registered-models/alias?name={MODEL_NAME}&alias=champion", READER)
    assert found.json()["model_version"]["version"] == "1"
    assert (
        registry.call("DELETE", "registered-models/alias", READER, name=MODEL_NAME, alias="champion").status_code == 403
    )


def test_the_users_job_may_run_again_and_then_sets_the_passwords(registry: Registry) -> None:
    assert "update-password: predictor" in create_users(registry.uri, "another-password-1").stdout
    path = "registered-models/search?max_results=1"
    assert registry.call("GET", path, READER).status_code == 401
    create_users(registry.uri)
    assert registry.call("GET", path, READER).status_code == 200
