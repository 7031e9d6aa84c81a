"""A real MLflow registry with good and broken versions of the tiny model."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx

from feature_checks import bundle as bundles
from feature_checks.bundle import Bundle
from feature_checks.contract import MODEL_NAME
from tests.support.ports import free_port
from tests.support.waiting import until


def variant(bundle: Bundle, folder: Path, **changes: Any) -> Bundle:
    """A copy of the exported bundle below `folder`, with changed manifest members and its digests right."""
    shutil.copytree(bundle.folder.parent, folder)
    return bundles.seal(folder / "bundle", replace(bundle.manifest, **changes))


@dataclass
class Registry:
    """A real MLflow registry, to publish bundles in."""

    uri: str
    artifacts: str
    """Where a run's artifacts go."""
    versions: list[str] = field(default_factory=list)

    @property
    def client(self) -> Any:
        """MLflow's own client."""
        from mlflow import MlflowClient

        return MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)

    def publish(self, exported: Path, *, champion: bool = True) -> str:
        """Register `exported` (which holds bundle and fp32) as a new version, laid out as MLflow logs a model."""
        from mlflow.exceptions import MlflowException

        client = self.client
        if not self.versions:
            self.experiment = client.create_experiment("tests", artifact_location=self.artifacts or None)
            with suppress(MlflowException):
                client.create_registered_model(MODEL_NAME)
        run = client.create_run(self.experiment)
        client.log_artifacts(run.info.run_id, str(exported), "model/artifacts")
        source = f"{run.info.artifact_uri}/model"
        version = str(client.create_model_version(MODEL_NAME, source, run.info.run_id).version)
        self.versions.append(version)
        if champion:
            self.move_alias(version)
        return version

    def move_alias(self, version: str) -> None:
        """Make a version champion."""
        self.client.set_registered_model_alias(MODEL_NAME, "champion", version)


class MlflowServer:
    """`mlflow server` as a process that can be stopped and started again."""

    def __init__(self, folder: Path) -> None:
        """State goes into `folder`."""
        self.folder, self.port = folder, free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        command = [sys.executable, "-m", "mlflow", "server", "--port", str(self.port), "--workers", "1"]
        stores = ["--backend-store-uri", f"sqlite:///{self.folder}/server.db"]
        artifacts = ["--artifacts-destination", str(self.folder / "artifacts")]
        with (self.folder / "mlflow.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*command, *stores, *artifacts], stdout=log, stderr=log, process_group=0, cwd=self.folder
            )
        until(self.answers, 120)

    def answers(self) -> bool:
        """Tell whether it is up."""
        try:
            return httpx.get(f"{self.uri}/health", timeout=2).status_code == 200
        except httpx.TransportError:
            return False

    def stop(self) -> None:
        """End it with its workers."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


@dataclass(frozen=True)
class Published:
    """What the shared MLflow server has registered: the tiny model in a good and several bad states."""

    registry: Registry
    server: MlflowServer
    cold: str
    """Good, temperature 1."""
    warm: str
    """Good, temperature 3: the same labels with other probabilities."""
    fp32_only: str
    """Good, but its INT8 is off by more than it allows."""
    wrong: str
    """Its reference probabilities are not its own."""
    foreign: str
    """Of another CONTRACT_VERSION."""
    damaged: str
    """A file that is not the one of the manifest."""
