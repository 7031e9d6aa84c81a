"""Training on several processes of the step's own machine: the model and the run come back, or the reason."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from components.launching import folder as folders
from components.launching.folder import TrainingFailed
from components.launching.launch import Place, launch
from components.registry.client import connect
from components.registry.lineage import Lineage
from components.train import TrainingSettings


@pytest.fixture
def data(state: Path, small_reviews: pd.DataFrame) -> Path:
    path = state / "data.parquet"
    small_reviews.sample(40, random_state=0).assign(split=["train"] * 33 + ["validation"] * 7).to_parquet(path)
    return path


def test_the_model_and_the_run_of_two_processes_come_back_to_the_step(
    state: Path, data: Path, tiny_base_model: Path
) -> None:
    settings = asdict(TrainingSettings(str(tiny_base_model), epochs=1.0, max_rows=33))
    lineage = asdict(Lineage(source="reviews.csv", pipeline_run_id="17"))
    shared = state / "shared"
    run_id = launch(data, state / "model", settings, lineage, Place(processes=2, folder=str(shared)))
    run = connect().get_run(run_id)
    assert (run.data.params["train.processes"], run.data.params["train.epochs"]) == ("2", "1.0")
    assert (run.data.tags["data_source"], run.data.tags["pipeline_run_id"]) == ("reviews.csv", "17")
    assert {"model.safetensors", "tokenizer.json"} <= {path.name for path in (state / "model").iterdir()}
    assert list(shared.iterdir()) == []


def test_the_reason_of_a_failed_process_comes_back_to_the_step(state: Path, data: Path) -> None:
    settings = asdict(TrainingSettings(str(state / "no-such-model")))
    with pytest.raises(TrainingFailed, match=r"on 2 processes ended with code 1: HFValidationError: .*no-such-model"):
        launch(data, state / "model", settings, asdict(Lineage()), Place(processes=2))


def test_a_complete_model_is_collected_and_not_trained_again(state: Path, data: Path) -> None:
    shared = state / "shared" / "train-17"
    (shared / folders.MODEL).mkdir(parents=True)
    (shared / folders.MODEL / "model.safetensors").write_text("weights")
    folders.finished(shared, "run-3")
    place = Place(processes=2, folder=str(state / "shared"))
    assert launch(data, state / "model", {}, {"pipeline_run_id": "17"}, place) == "run-3"
    assert (state / "model" / "model.safetensors").read_text() == "weights"


def test_the_progress_is_that_of_the_last_checkpoint(tmp_path: Path) -> None:
    assert folders.progress(tmp_path) == 0.0
    checkpoint = tmp_path / folders.MODEL / "checkpoints" / "checkpoint-30"
    checkpoint.mkdir(parents=True)
    (checkpoint / "trainer_state.json").write_text(json.dumps({"global_step": 30, "max_steps": 120}))
    assert folders.progress(tmp_path) == 0.25


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ({"trainer": "cloud"}, "trainer: found 'cloud'; expected 'step' or 'trainjob'"),
        ({"processes": 0}, "found 0 and 1; expected at least 1"),
        ({"nodes": 2}, "training_nodes: found 2 with trainer=step; expected trainer=trainjob"),
        ({"trainer": "trainjob"}, "training_folder: found none with trainer=trainjob"),
    ],
)
def test_a_place_that_there_is_not_is_refused(place: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Place(**place)


def test_only_the_default_place_is_the_own_process_of_the_step() -> None:
    assert Place().own_process
    assert not Place(folder="/training").own_process
    assert not Place(processes=2).own_process
