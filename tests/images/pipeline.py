"""The pipeline image: the compiled training pipeline, every step in a container of it, and two steps alone."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Final

import docker
import pandas as pd

from pipelines.compiling import compile_pipelines
from pipelines.local import LocalRun, tasks_of
from tests.images.engine import COMPONENTS, CONFINED, require, run, shared_folder

STEPS: Final = (
    "ingest",
    "check",
    "split",
    "train",
    "evaluate",
    "export",
    "verify",
    "gate",
    "reference-window",
    "register",
)
ARGUMENTS: Final = {"epochs": 1.0, "learning_rate": 5e-4, "max_rows": 64}
"""A model that has learned next to nothing, of the size of a real one: the gate may reject it."""
DATA: Final = "/data.parquet"

THINGS: Final = ("camera", "phone", "router", "kettle", "tent", "lamp", "printer", "watch", "jacket", "speaker")
VERDICTS: Final = {
    "negative": ("arrived dented", "leaks", "quit after a week", "froze during setup", "cracked", "went back",
                 "overheats"),
    "neutral": ("comes in a box", "has a cable", "weighs 300 grams", "was made in March", "takes two batteries",
                "is the 2019 model", "measures ten inches"),
    "positive": ("fits like a glove", "runs all day", "still looks new", "is worth every cent", "is a joy to use",
                 "sets up in seconds", "outlasts the rest"),
}  # fmt: skip


def write_reviews(path: Path) -> None:
    """Write 420 one-sentence reviews as CSV."""
    rows = [
        (f"{article} {thing} {verdict}.", label)
        for label, verdicts in VERDICTS.items()
        for article, thing, verdict in itertools.product(("The", "My"), THINGS, verdicts)
    ]
    frame = pd.DataFrame(rows, columns=["text", "label"])
    frame.assign(group_id=[f"review-{number}" for number in frame.index]).to_csv(path, index=False)


def train_by_pipeline(folder: Path) -> LocalRun:
    """Run the training pipeline on kfp's DockerRunner, its registry below `folder`; return the finished run.

    Raises CheckFailed when a step has not run, RuntimeError by kfp when one failed.
    """
    from kfp import components, local

    shared_folder(folder)
    write_reviews(folder / "reviews.csv")
    compile_pipelines(folder / "compiled", COMPONENTS)
    # kfp mounts its pipeline root and nothing else, so the registry is in there too.
    environment = {"STATE_DIR": str(folder / "state")}
    local.init(local.DockerRunner(environment=environment, **CONFINED), pipeline_root=str(folder))
    pipeline = components.load_component_from_file(str(folder / "compiled" / "training.yaml"))
    before = set(folder.iterdir())
    pipeline(source=str(folder / "reviews.csv"), **ARGUMENTS)
    (outputs,) = (path for path in set(folder.iterdir()) - before if path.name.startswith("review-sentiment-training"))
    found = LocalRun(outputs, tasks_of(outputs))
    missing = [step for step in STEPS if step not in found.tasks]
    require(not missing, f"the pipeline finished without {missing}; ran: {found.tasks}")
    return found


def train_alone(client: docker.DockerClient, pipeline: LocalRun, folder: Path) -> None:
    """Fine-tune for a quarter of an epoch with the step's own command. Raises CheckFailed when no model comes of it."""
    _run_on_split(client, pipeline, folder, ["components.train", "--data", DATA, "--epochs", "0.25"])
    weights = folder / "output" / "model.safetensors"
    require(weights.is_file() and weights.stat().st_size > 80e6, f"{weights} is not a MiniLM checkpoint")


def report_alone(client: docker.DockerClient, pipeline: LocalRun, folder: Path) -> None:
    """Compare the reviews with themselves in Evidently. Raises CheckFailed when no report comes of it."""
    _run_on_split(client, pipeline, folder, ["monitoring", "report", "--reference", DATA, "--current", DATA])
    for name in ("report.html", "report.json"):
        require((folder / "output" / name).is_file(), f"the drift report wrote no {name}")


def _run_on_split(client: docker.DockerClient, pipeline: LocalRun, folder: Path, arguments: list[str]) -> None:
    shared_folder(folder)
    data = pipeline.artifact("split", "split_data")
    volumes = {str(data): {"bind": DATA, "mode": "ro"}, str(folder): {"bind": "/scratch", "mode": "rw"}}
    run(client, COMPONENTS, ["python", "-m", *arguments, "--output", "/scratch/output"], volumes=volumes)
