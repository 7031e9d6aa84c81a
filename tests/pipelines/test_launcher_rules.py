"""The rules of Kubeflow's launcher see planted faults in a real run's outputs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from components.register import MAX_TAG_CHARS, tag_of_reasons
from pipelines.compiling import COMPILED
from tests.support.launcher_rules import problems, registry_problems, too_long_for_postgresql

from .conftest import Trained

TRAINING = COMPILED / "training.yaml"
HOLD_TEXTS = ("ingest/data", "split/split_data", "reference-window/window", "evaluate/report", "check/report")
"""Artifacts of the training graph that hold reviews by design: the data sets, and two reports for people."""


@pytest.fixture
def run(trained: Trained, tmp_path: Path) -> Path:
    """Return a copy of a finished training run, to plant faults in."""
    copied = Path(shutil.copytree(trained.run.folder, tmp_path / "run"))
    for path in copied.rglob("executor_output.json"):
        moved = path.read_text(encoding="utf-8").replace(str(trained.run.folder), str(copied))
        path.write_text(moved, encoding="utf-8")
    return copied


def change(run: Path, task: str, edit: Any) -> None:
    (path,) = run.rglob(f"{task}/executor_output.json")
    content = json.loads(path.read_text(encoding="utf-8"))
    edit(content)
    path.write_text(json.dumps(content), encoding="utf-8")


def metadata(content: dict[str, Any], artifact: str) -> dict[str, Any]:
    found: dict[str, Any] = content["artifacts"][artifact]["artifacts"][0]["metadata"]
    return found


def test_a_training_run_would_pass_on_a_cluster(trained: Trained, run: Path) -> None:
    data = pd.read_parquet(trained.run.artifact("ingest", "data"))
    # Short texts may stand in a report by chance.
    texts = [text for text in data["text"] if len(text) > 20]
    assert problems(run, TRAINING, texts, HOLD_TEXTS) == []


@pytest.mark.parametrize(
    ("planted", "expected"),
    [
        (None, "metadata 'digest' of artifact 'data' holds null"),
        ({"deep": [None]}, "metadata 'digest' of artifact 'data' holds null"),
        (float("nan"), "NaN is not JSON"),
        ("x" * 70_000, "has 70002 bytes"),
    ],
    ids=["null", "null inside", "NaN", "long"],
)
def test_planted_metadata_is_refused(run: Path, planted: Any, expected: str) -> None:
    change(run, "ingest", lambda content: metadata(content, "data").update(digest=planted))
    assert any(expected in problem for problem in problems(run, TRAINING))


def test_a_missing_artifact_is_reported(run: Path) -> None:
    change(run, "evaluate", lambda content: content["artifacts"].pop("evaluation"))
    assert "evaluate: the declared artifact 'evaluation' is missing" in problems(run, TRAINING)


def test_a_missing_parameter_is_reported(run: Path) -> None:
    change(run, "gate", lambda content: content["parameterValues"].pop("Output"))
    assert "gate: the declared output parameter 'Output' is missing" in problems(run, TRAINING)


def test_a_leaked_text_is_reported(run: Path) -> None:
    leaked = 'A review that says "leaked".'
    (folder,) = run.rglob("gate/decision")
    (folder / "more.json").write_text(json.dumps({"example": leaked}), encoding="utf-8")
    (problem,) = problems(run, TRAINING, [leaked], HOLD_TEXTS)
    assert problem.startswith("gate/decision: more.json holds the review text")


def test_a_text_leaked_in_parquet_is_reported(run: Path) -> None:
    (folder,) = run.rglob("verify/verification")
    pd.DataFrame({"text": ["A leaked review."]}).to_parquet(folder / "rows.parquet")
    (problem,) = problems(run, TRAINING, ["A leaked review."], HOLD_TEXTS)
    assert problem.startswith("verify/verification: rows.parquet")


def test_a_tag_that_postgresql_refuses_is_reported() -> None:
    assert too_long_for_postgresql({"gate": "accepted"}) == []
    (problem,) = too_long_for_postgresql({"gate_reasons": "x" * 5001})
    assert problem == "tag 'gate_reasons' has 5001 characters; at most 5000 fit"


def test_an_over_long_tag_in_the_registry_is_reported(state: Path) -> None:
    from components.registry.client import connect, tracking_uri
    from feature_checks.contract import MODEL_NAME

    client = connect()
    client.create_registered_model(MODEL_NAME)
    client.create_model_version(MODEL_NAME, source=state.as_uri(), tags={"gate_reasons": "x" * 5001})
    client.create_model_version(MODEL_NAME, source=state.as_uri(), description="y" * 5001)
    long, described = sorted(registry_problems(tracking_uri()))
    assert long == "review-sentiment version 1: tag 'gate_reasons' has 5001 characters; at most 5000 fit"
    assert described.endswith("version 2: the description has 5001 characters; at most 5000 fit")


def test_reasons_that_do_not_fit_a_tag_are_cut_with_a_hint() -> None:
    few = ["macro-F1 is 0.600", "Größe"]
    assert json.loads(tag_of_reasons(few)) == few
    text = tag_of_reasons([f"reason {number}: {'x' * 200}" for number in range(60)])
    assert len(text) <= MAX_TAG_CHARS
    kept = json.loads(text)
    assert kept[0].startswith("reason 0")
    assert kept[-1] == "more reasons are in the artifact gate/decision.md of the version's run"
