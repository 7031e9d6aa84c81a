"""A small data set, and the pipelines as commands in a state folder of the module's own."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from components.icwsm2014 import ARCHIVE
from pipelines.local import LocalRun

THINGS = [
    *("camera", "phone", "router", "kettle", "tent", "lamp", "printer", "watch", "jacket", "speaker"),
    *("tripod", "blender", "charger", "monitor", "bag", "drill", "toaster", "keyboard", "scooter", "fan"),
]
# Verdicts that VADER's word list does not know, so that a model has something to beat.
VERDICTS = {
    "negative": ["arrived dented", "leaks at the seam", "quit charging within a week", "froze during setup",
                 "went straight back to the store", "cracked on the first trip", "overheats after ten minutes",
                 "fell apart in my hands"],
    "neutral": ["comes in a brown box", "has a two metre cable", "weighs about 300 grams", "was made in March",
                "uses two batteries", "sits on the desk", "is the 2019 model", "measures ten inches"],
    "positive": ["fits like a glove", "runs all day on one charge", "still looks new after a year",
                 "sets up in seconds", "outlasts everything else I own", "is worth every cent", "is a joy to use",
                 "does exactly what I need"],
}  # fmt: skip


@pytest.fixture(scope="session")
def small_reviews() -> pd.DataFrame:
    """Reviews that MiniLM learns in seconds."""
    rows = [
        (f"The {thing} {verdict}.", label)
        for label, verdicts in VERDICTS.items()
        for thing, verdict in itertools.product(THINGS, verdicts)
    ]
    frame = pd.DataFrame(rows, columns=["text", "label"])
    return frame.assign(group_id=[f"review-{number}" for number in frame.index])


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
        if result.returncode != 0:
            return result.returncode, result.stdout + result.stderr, None
        last = json.loads(result.stdout.splitlines()[-1])
        return 0, result.stdout + result.stderr, LocalRun(Path(last["folder"]), tuple(last["tasks"]))


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory, data_cache: Path) -> Iterator[Pipeline]:
    """The command in a fresh state folder, with the download cache of the clone."""
    state = tmp_path_factory.mktemp("state")
    (state / "data").mkdir()
    if (data_cache / ARCHIVE).is_file():
        (state / "data" / ARCHIVE).symlink_to(data_cache / ARCHIVE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STATE_DIR", str(state))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield Pipeline(state)
