"""Chooses where a training runs besides the step's own process, and brings its model back to the step."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from components.launching import folder as folders
from components.launching import train_job
from components.launching.folder import TrainingFailed

STEP: Final = "step"
TRAIN_JOB: Final = "trainjob"
WORKER: Final = "components.launching.worker"


@dataclass(frozen=True)
class Place:
    """Where the training runs; the parameters of the training pipeline that begin with `train`."""

    trainer: str = STEP
    """`step`: in the step; `trainjob`: in a TrainJob of Kubeflow Trainer, which the step waits for."""
    processes: int = 1
    """Processes on each machine."""
    nodes: int = 1
    """Machines of the TrainJob."""
    folder: str = ""
    """A folder that all machines share and that outlives the step, for the checkpoints."""

    def __post_init__(self) -> None:
        """Raise ValueError for a place that there is not."""
        if self.trainer not in (STEP, TRAIN_JOB):
            raise ValueError(f"trainer: found {self.trainer!r}; expected {STEP!r} or {TRAIN_JOB!r}")
        if self.processes < 1 or self.nodes < 1:
            raise ValueError(
                f"training_processes and training_nodes: found {self.processes} and {self.nodes}; expected at least 1"
            )
        if self.nodes > 1 and self.trainer == STEP:
            raise ValueError(f"training_nodes: found {self.nodes} with trainer={STEP}; expected trainer={TRAIN_JOB}")
        if self.trainer == TRAIN_JOB and not self.folder:
            raise ValueError(
                f"training_folder: found none with trainer={TRAIN_JOB}; expected a folder that the step and the "
                "machines of the TrainJob share"
            )

    @property
    def own_process(self) -> bool:
        """Whether the step trains in its own process."""
        return self == Place()


def launch(data: Path, model: Path, settings: Mapping[str, Any], lineage: Mapping[str, Any], place: Place) -> str:
    """Train at a place, write the model to `model` and return the MLflow run.

    A step that is tried again goes on from the checkpoints in `place.folder`, where it names one.
    Raises TrainingFailed with the reason of the process that failed.
    """
    name = f"train-{lineage['pipeline_run_id'] or 'local'}"
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(place.folder or scratch) / name
        folders.prepare(folder, data, settings, lineage)
        if place.trainer == TRAIN_JOB:
            train_job.run(folder, name, place.nodes, place.processes)
        elif not folders.trained(folder):
            run_here(folder, place.processes)
        return folders.collect(folder, model)


def run_here(folder: Path, processes: int) -> None:
    """Train on some processes of this machine. Raises TrainingFailed if one fails."""
    starter = ["torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "-m"] if processes > 1 else []
    command = [sys.executable, "-m", *starter, WORKER, str(folder)]
    code = subprocess.run(command, check=False).returncode
    if code:
        raise TrainingFailed(f"training on {processes} processes ended with code {code}: {folders.error_of(folder)}")
