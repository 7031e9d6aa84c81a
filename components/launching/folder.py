"""The folder by which a step and the processes that train for it exchange what is trained, the model and the outcome.

FOLDER/data.parquet    the data with its splits
FOLDER/order.json      settings and lineage
FOLDER/model/          the model, and checkpoints until it is complete
FOLDER/outcome.json    the MLflow run, or why the training failed
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from components.modelling import resumption

DATA: Final = "data.parquet"
ORDER: Final = "order.json"
MODEL: Final = "model"
OUTCOME: Final = "outcome.json"


class TrainingFailed(RuntimeError):
    """The processes that were started did not train the model; the message says why."""


def prepare(folder: Path, data: Path, settings: Mapping[str, Any], lineage: Mapping[str, Any]) -> None:
    """Write what is to be trained. Of an earlier attempt, the checkpoints stay, and so does a complete model."""
    if trained(folder):
        return
    folder.mkdir(parents=True, exist_ok=True)
    (folder / OUTCOME).unlink(missing_ok=True)
    shutil.copyfile(data, folder / DATA)
    order = {"settings": dict(settings), "lineage": dict(lineage)}
    (folder / ORDER).write_text(json.dumps(order, indent=1), encoding="utf-8")


def order(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the settings and the lineage of the training."""
    found = json.loads((folder / ORDER).read_text(encoding="utf-8"))
    return found["settings"], found["lineage"]


def failed(folder: Path, error: Exception) -> None:
    """Record why a process failed. The first one counts: the others fail because they lose it."""
    try:
        with (folder / OUTCOME).open("x", encoding="utf-8") as file:
            json.dump({"error": f"{type(error).__name__}: {error}"}, file)
    except FileExistsError:
        return


def finished(folder: Path, run_id: str) -> None:
    """Record that the model is complete, and its MLflow run."""
    (folder / OUTCOME).write_text(json.dumps({"run_id": run_id}), encoding="utf-8")


def trained(folder: Path) -> str:
    """Return the MLflow run of a training that is finished, or ""."""
    return str(_outcome(folder).get("run_id", ""))


def error_of(folder: Path) -> str:
    """Return why the training failed, as far as a process could still record it."""
    return str(_outcome(folder).get("error", "no process recorded a reason; see the log of the training"))


def collect(folder: Path, model: Path) -> str:
    """Copy the model to `model`, delete the folder and return the MLflow run. Raises TrainingFailed without a model."""
    run_id = trained(folder)
    if not run_id:
        raise TrainingFailed(f"{folder}: the training ended without a model: {error_of(folder)}")
    shutil.copytree(folder / MODEL, model, dirs_exist_ok=True)
    shutil.rmtree(folder)
    return run_id


def _outcome(folder: Path) -> dict[str, Any]:
    path = folder / OUTCOME
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found


def progress(folder: Path) -> float:
    """Return the finished share of the training's steps, as its last checkpoint has it."""
    checkpoint = resumption.last_checkpoint(folder / MODEL / resumption.FOLDER)
    if checkpoint is None:
        return 0.0
    state = json.loads((Path(checkpoint) / "trainer_state.json").read_text(encoding="utf-8"))
    return float(state["global_step"] / state["max_steps"])
