"""Training on two processes that torchrun starts: the model of one process, one MLflow run, and resumption."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest

from components.modelling.resumption import FOLDER, last_checkpoint
from components.registry.client import connect
from components.train import RESUMED, TrainingSettings, train
from feature_checks.contract import MODEL_NAME
from tests.support.waiting import until

STARTED = [
    str(Path(sys.executable).with_name("torchrun")),
    *("--standalone", "--nproc-per-node=2", "-m", "components.train"),
]


@pytest.fixture
def data(state: Path, small_reviews: pd.DataFrame) -> Path:
    """Return 97 training rows, three batches and one row, and 17 validation rows."""
    path = state / "data.parquet"
    rows = small_reviews.sample(114, random_state=0)
    rows.assign(split=["train"] * 97 + ["validation"] * 17).to_parquet(path)
    return path


@pytest.fixture
def without_dropout(state: Path, tiny_base_model: Path) -> Path:
    """Return the tiny model without dropout, whose random numbers depend on the process."""
    folder = state / "base"
    shutil.copytree(tiny_base_model, folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def options(data: Path, output: Path, base: Path, epochs: float) -> list[str]:
    words = {"data": data, "output": output, "base-model": base, "epochs": epochs, "learning-rate": 1e-3}
    return [f"--{name}={value}" for name, value in words.items()]


def start(arguments: list[str]) -> subprocess.Popen[str]:
    environment = os.environ | {"TQDM_DISABLE": "1"}
    return subprocess.Popen([*STARTED, *arguments], env=environment, stdout=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> str:
    """Wait for the processes to end well; return what they printed."""
    printed, _ = process.communicate(timeout=240)
    assert process.returncode == 0
    return printed


def runs() -> list[Any]:
    client = connect()
    experiment = client.get_experiment_by_name(MODEL_NAME)
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id]))


def furthest_apart(one: Path, other: Path) -> float:
    """Return the greatest difference of a weight of two models."""
    from safetensors.torch import load_file

    weights = [load_file(folder / "model.safetensors") for folder in (one, other)]
    return max(float((weights[0][name] - weights[1][name]).abs().max()) for name in weights[0])


def worker(process: subprocess.Popen[str], rank: int) -> psutil.Process:
    (found,) = [
        child
        for child in psutil.Process(process.pid).children(recursive=True)
        if child.environ().get("RANK") == str(rank)
    ]
    return found


def test_two_processes_train_the_model_of_one_in_one_mlflow_run(state: Path, data: Path, without_dropout: Path) -> None:
    printed = finish(start(options(data, state / "two", without_dropout, 3.0)))
    (two,) = runs()
    assert printed.count(f"MLflow run {two.info.run_id}") == 1
    assert printed.count("progress: ") == len(connect().get_metric_history(two.info.run_id, "grad_norm")) == 1
    assert two.info.status == "FINISHED"
    assert (two.data.params["train.processes"], RESUMED in two.data.tags) == ("2", False)

    settings = TrainingSettings(str(without_dropout), epochs=3.0, learning_rate=1e-3)
    one = connect().get_run(train(data, state / "one", settings))
    assert furthest_apart(state / "two", without_dropout) > 0.001
    assert furthest_apart(state / "two", state / "one") < 1e-4
    for name in ("eval_loss", "eval_macro_f1", "train_loss"):
        assert two.data.metrics[name] == pytest.approx(one.data.metrics[name], rel=1e-4)
    # Nothing of the checkpoints becomes part of the model.
    assert {path.name for path in (state / "two").iterdir()} == {path.name for path in (state / "one").iterdir()}
    assert not (state / "two" / FOLDER).exists()


def test_a_training_whose_worker_is_killed_goes_on_from_its_last_epoch_in_the_same_run(
    state: Path, data: Path, tiny_base_model: Path
) -> None:
    broken = state / "broken"
    process = start(options(data, broken, tiny_base_model, 8.0))
    until(lambda: last_checkpoint(broken / FOLDER), 120)
    worker(process, rank=1).send_signal(signal.SIGKILL)
    process.communicate(timeout=240)
    assert process.returncode != 0
    (stopped,) = runs()
    assert stopped.info.status != "FINISHED"
    kept = Path(str(last_checkpoint(broken / FOLDER))).name
    assert kept != "checkpoint-32"

    printed = finish(start(options(data, broken, tiny_base_model, 8.0)))
    (resumed,) = runs()
    assert (resumed.info.run_id, resumed.info.status) == (stopped.info.run_id, "FINISHED")
    assert RESUMED in resumed.data.tags
    first = float(printed.split("progress: ")[1].split()[0])
    assert first > int(kept.removeprefix("checkpoint-")) / 32

    whole = state / "whole"
    finish(start(options(data, whole, tiny_base_model, 8.0)))
    assert furthest_apart(broken, whole) == 0.0
    (unbroken,) = [run for run in runs() if run.info.run_id != resumed.info.run_id]
    for name in ("eval_loss", "eval_macro_f1"):
        assert resumed.data.metrics[name] == unbroken.data.metrics[name]
