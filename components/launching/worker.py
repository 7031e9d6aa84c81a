"""One process of a training: it trains what the folder orders, and records the outcome there.

torchrun --standalone --nproc-per-node 2 -m components.launching.worker FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

from components.launching import folder as folders
from components.modelling import processes
from components.registry.lineage import Lineage
from components.train import TrainingSettings, train


def work(folder: Path) -> None:
    """Train; the first process records the MLflow run, and one that fails records its error and raises it."""
    settings, lineage = folders.order(folder)
    try:
        run_id = train(
            folder / folders.DATA, folder / folders.MODEL, TrainingSettings(**settings), lineage=Lineage(**lineage)
        )
    except Exception as error:
        folders.failed(folder, error)
        raise
    if run_id:
        folders.finished(folder, run_id)
    processes.leave_group()


if __name__ == "__main__":
    work(Path(sys.argv[1]))
