"""The folder of a training's checkpoints: what is trained, in which MLflow run, and where to go on after a stop.

OUTPUT/checkpoints/training.json      what is trained, and the MLflow run
OUTPUT/checkpoints/checkpoint-120/    weights, optimiser, order and random numbers after step 120, an epoch's last
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

FOLDER: Final = "checkpoints"
RECORD: Final = "training.json"
_STATE: Final = "trainer_state.json"


class ResumptionError(ValueError):
    """The checkpoints cannot be used; the message says whose they are and what would be right."""


def interrupted_run(folder: Path, training: Mapping[str, Any]) -> str:
    """Return the MLflow run of the interrupted training in this folder; "" if there is none.

    Raises ResumptionError if the folder has the checkpoints of another training than `training` describes.
    """
    record = folder / RECORD
    if not record.is_file():
        return ""
    found = json.loads(record.read_text(encoding="utf-8"))
    differing = [
        f"{name} {found['training'].get(name)!r}" for name in training if found["training"].get(name) != training[name]
    ]
    if differing:
        raise ResumptionError(
            f"{folder}: found the checkpoints of another training, with {', '.join(differing)}; "
            "name another output, or delete the folder to start anew"
        )
    return str(found["run_id"])


def begin(folder: Path, training: Mapping[str, Any], run_id: str) -> None:
    """Record what is trained in this folder, and in which MLflow run."""
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f"{RECORD}.unfinished"
    unfinished.write_text(json.dumps({"run_id": run_id, "training": dict(training)}, indent=1), encoding="utf-8")
    unfinished.replace(folder / RECORD)


def last_checkpoint(folder: Path) -> str | None:
    """Return the newest whole checkpoint of a folder, or None. One that a stop has cut off is passed over."""
    return next((str(path) for path in reversed(_checkpoints(folder)) if _whole(path)), None)


def drop_older(folder: Path) -> None:
    """Delete all checkpoints but the newest whole one."""
    for path in _checkpoints(folder):
        if str(path) != last_checkpoint(folder):
            shutil.rmtree(path)


def _checkpoints(folder: Path) -> list[Path]:
    return sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))


def _whole(checkpoint: Path) -> bool:
    """Tell whether a checkpoint has its state, which the Trainer writes last."""
    try:
        json.loads((checkpoint / _STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return True
