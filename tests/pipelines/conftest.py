"""A trained champion, and the pipelines as commands in a state folder of the module's own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from components.datasets.icwsm2014 import ARCHIVE
from pipelines.compiling import COMPILED
from pipelines.local import LocalRun
from tests.support.launcher_rules import problems, registry_problems

REVISION = "0123abc"


@dataclass(frozen=True)
class Pipeline:
    """Runs `python -m pipelines.run local` in its state folder."""

    state: Path

    def train(self, frame: pd.DataFrame, name: str, **parameters: object) -> tuple[int, str, LocalRun | None]:
        """Train on the frame; return what `run` returns."""
        source = self.state / f"{name}.csv"
        frame.to_csv(source, index=False)
        return self.run("training", **{"source": source, "epochs": 3.0, "learning_rate": 5e-4} | parameters)

    def run(self, pipeline: str, **parameters: object) -> tuple[int, str, LocalRun | None]:
        """Return the exit code, everything printed, and the run when it finished."""
        options = [word for key, value in parameters.items() for word in ("--param", f"{key}={value}")]
        command = [sys.executable, "-m", "pipelines.run", "local", pipeline, *options]
        environment = {**os.environ, "STATE_DIR": str(self.state), "COLUMNS": "500"}
        result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        # A cluster's rules hold for the steps of a failing run too.
        folder = self.newest_run()
        assert problems(folder, COMPILED / f"{pipeline}.yaml") == []
        assert registry_problems(f"sqlite:///{self.state / 'mlflow.db'}") == []
        if result.returncode != 0:
            return result.returncode, result.stdout + result.stderr, None
        last = json.loads(result.stdout.splitlines()[-1])
        run = LocalRun(Path(last["folder"]), tuple(last["tasks"]))
        return 0, result.stdout + result.stderr, run

    def newest_run(self) -> Path:
        """Return the folder of the run that started last, finished or not."""
        newest = max((self.state / "pipelines").iterdir(), key=lambda path: path.stat().st_mtime)
        return next(path for path in newest.iterdir() if path.is_dir())


@pytest.fixture(scope="session")
def split_reviews(small_reviews: pd.DataFrame) -> pd.DataFrame:
    """The small reviews with a split of their own that is large enough for windows: 240, 120 and 120 rows."""
    shuffled = small_reviews.sample(frac=1, random_state=3, ignore_index=True)
    return shuffled.assign(split=["train", "train", "validation", "test"] * (len(shuffled) // 4))


@dataclass(frozen=True)
class Trained:
    """A finished training run whose candidate became the champion, version 1."""

    pipeline: Pipeline
    run: LocalRun
    database: Path
    """MLflow's data base as the run left it; whoever copies it starts from that champion."""


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, data_cache: Path, split_reviews: pd.DataFrame) -> Trained:
    """The training pipeline on `split_reviews`, run once for all modules."""
    pipeline = Pipeline(new_state(tmp_path_factory, data_cache))
    with own_state(pipeline.state):
        code, output, run = pipeline.train(split_reviews, "good")
    assert code == 0, output[-3000:]
    assert run is not None
    snapshot = pipeline.state / "trained.db"
    shutil.copy(pipeline.state / "mlflow.db", snapshot)
    return Trained(pipeline, run, snapshot)


def new_state(tmp_path_factory: pytest.TempPathFactory, data_cache: Path) -> Path:
    """Return a fresh state folder with the download cache of the clone."""
    state = tmp_path_factory.mktemp("state")
    (state / "data").mkdir()
    if (data_cache / ARCHIVE).is_file():
        (state / "data" / ARCHIVE).symlink_to(data_cache / ARCHIVE)
    return state


@contextmanager
def own_state(state: Path) -> Iterator[None]:
    """Make a state folder the one of this process too, and state a revision, because git need not be installed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STATE_DIR", str(state))
        patch.setenv("GIT_REVISION", REVISION)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield


@pytest.fixture(scope="module")
def pipeline(trained: Trained, tmp_path_factory: pytest.TempPathFactory, data_cache: Path) -> Iterator[Pipeline]:
    """The command in a state folder of the module's own, whose champion is that of `trained`."""
    state = new_state(tmp_path_factory, data_cache)
    shutil.copy(trained.database, state / "mlflow.db")
    with own_state(state):
        yield Pipeline(state)
