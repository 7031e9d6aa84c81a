"""The compiled training graph, run step by step by kfp.local on a small data set that MiniLM learns in seconds."""

from __future__ import annotations

import html
import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
import pytest

from components.modelling import base_models
from components.registry import aliases, artifacts
from components.registry.explanation import explain
from feature_checks import bundle as bundles
from feature_checks.classifier import OnnxClassifier
from pipelines.local import LocalRun

from .conftest import REVISION, Pipeline, Trained

BEFORE_GATE = (*("ingest", "check", "require-data", "split", "train", "evaluate", "export", "verify", "gate"),)


def in_order(tasks: Sequence[str]) -> tuple[str, ...]:
    """Return the tasks without `reference-window`, which may run anywhere between `export` and `register`."""
    assert tasks.index("export") < tasks.index("reference-window") < tasks.index("register")
    return tuple(task for task in tasks if task != "reference-window")


def with_shuffled_training_labels(frame: pd.DataFrame) -> pd.DataFrame:
    learned = frame["split"] != "test"
    labels = frame.loc[learned, "label"].tolist()
    random.Random(0).shuffle(labels)
    shuffled = frame.copy()
    shuffled.loc[learned, "label"] = labels
    return shuffled


@pytest.fixture(scope="module")
def accepted(trained: Trained, pipeline: Pipeline) -> LocalRun:
    """The run that made version 1, whose registry `pipeline` goes on from."""
    del pipeline
    return trained.run


@pytest.mark.timeout(400)
def test_a_good_candidate_becomes_champion(accepted: LocalRun) -> None:
    assert in_order(accepted.tasks) == (*BEFORE_GATE, "register", "promote")
    assert aliases.version_of("champion") == aliases.version_of("challenger") == "1"
    assert aliases.version_of("previous") is None


def test_the_registered_version_says_where_it_comes_from(accepted: LocalRun) -> None:
    from components.registry.client import connect
    from feature_checks.contract import MODEL_NAME

    version = connect().get_model_version(MODEL_NAME, "1")
    assert version.tags["gate"] == "accepted"
    assert (version.tags["compared_with"], version.tags["gate_attempt"]) == ("none", "1")
    assert float(version.tags["parity_int8_label_agreement"]) >= 0.985
    assert version.tags["pipeline_run"].startswith("review-sentiment-training")
    assert len(version.tags["data_digest"]) == 64
    assert "## Behavioural cases" in version.description
    assert accepted.artifact("check", "report").read_text().startswith("<!doctype html>")


def test_the_run_in_mlflow_has_parameters_curves_and_reports(accepted: LocalRun) -> None:
    from components.registry.client import connect

    client = connect()
    run_id = json.loads((accepted.folder / "train" / "executor_output.json").read_text())["parameterValues"]["Output"]
    run = client.get_run(run_id)
    assert run.data.params["train.epochs"] == "3.0"
    (dataset,) = run.inputs.dataset_inputs
    assert json.loads(dataset.dataset.source)["source"].endswith("good.csv")
    assert run.data.tags["data_digest"].startswith(dataset.dataset.digest)
    assert {tag.key: tag.value for tag in dataset.tags} == {"mlflow.data.context": "training"}
    assert run.data.tags["pipeline_run_id"]
    assert run.data.tags["data_source"].endswith("good.csv")
    assert run.data.tags["data_digest"]
    assert {run.data.tags[name] for name in ("git_revision", "mlflow.source.git.commit")} == {REVISION}
    assert len(client.get_metric_history(run_id, "loss")) > 1
    assert run.data.metrics["test_macro_f1"] > run.data.metrics["test_baseline_macro_f1"]
    assert {item.path for item in client.list_artifacts(run_id)} >= {"check", "evaluation", "verification", "gate"}


def test_the_champion_can_be_loaded_as_a_bundle_and_as_a_pyfunc(accepted: LocalRun, tmp_path: Path) -> None:
    import mlflow

    del accepted
    texts = ["The stove arrived dented.", "The stove fits like a glove."]
    bundle = bundles.load(artifacts.download_bundle("1", tmp_path))
    probabilities = OnnxClassifier(bundle).probabilities(texts)
    requirements = artifacts.download("models:/review-sentiment@champion/requirements.txt", tmp_path).read_text()
    assert {line.split("==")[0] for line in requirements.split()} >= {"numpy", "onnxruntime", "tokenizers", "pandas"}
    assert all("==" in line for line in requirements.split())
    table = mlflow.pyfunc.load_model("models:/review-sentiment@champion").predict(texts)
    assert table["label"].tolist() == ["negative", "positive"]
    assert table[["negative", "neutral", "positive"]].to_numpy() == pytest.approx(probabilities, abs=1e-6)


def test_the_version_keeps_the_window_that_later_predictions_are_compared_with(
    accepted: LocalRun, tmp_path: Path
) -> None:
    reference = pd.read_parquet(artifacts.download_reference_window("1", tmp_path))
    data = pd.read_parquet(accepted.artifact("split", "split_data"))
    validation = data[data["split"] == "validation"]
    assert reference["text"].tolist() == validation["text"].tolist()
    assert reference["true_label"].tolist() == validation["label"].tolist()
    assert (reference["label"] == reference["true_label"]).mean() > 0.8
    assert reference["confidence"].between(1 / 3, 1).all()


def test_training_can_go_on_from_the_champion(accepted: LocalRun) -> None:
    folder = Path(base_models.resolve("models:/review-sentiment@champion"))
    weights = (folder / "model.safetensors").read_bytes()
    assert weights == (accepted.artifact("train", "model") / "model.safetensors").read_bytes()


@pytest.mark.timeout(400)
def test_shuffled_labels_are_rejected_and_the_champion_stays(pipeline: Pipeline, split_reviews: pd.DataFrame) -> None:
    code, output, run = pipeline.train(with_shuffled_training_labels(split_reviews), "shuffled", epochs=1.0)
    assert code == 0, output[-3000:]
    assert run is not None
    assert in_order(run.tasks) == (*BEFORE_GATE, "register")
    assert aliases.version_of("champion") == aliases.version_of("challenger") == "1"
    from components.registry.client import connect
    from feature_checks.contract import MODEL_NAME

    rejected = connect().get_model_version(MODEL_NAME, "2")
    assert rejected.tags["gate"] == "rejected"
    assert "below champion version 1" in rejected.tags["gate_reasons"]
    assert (rejected.tags["compared_with"], rejected.tags["best_champion"]) == ("1", "1")
    explained = explain("2")
    assert "Version 2 was rejected by the gate." in explained
    assert "failed: macro-F1 against the champion: measured -" in explained
    assert "It was compared with champion 1 on the test rows" in explained
    assert "--param seed=0" in explained
    # The decision quotes no review, and the champion is not copied into it.
    assert {path.name for path in run.artifact("gate", "decision").iterdir()} == {"decision.json", "decision.md"}


BROKEN: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], str]] = {
    "column": (lambda frame: frame.drop(columns="label"), "the column 'label' is required"),
    "empty": (
        lambda frame: frame.assign(text=[" " if n % 10 < 3 else text for n, text in enumerate(frame["text"])]),
        "a text must not be empty or blank: 144 of 480 rows (30.0 %)",
    ),
    "class": (lambda frame: frame[frame["label"] != "neutral"], "must occur: missing are ['neutral']"),
    "leak": (
        lambda frame: frame.assign(
            group_id=[f"review-{n // 2}" for n in range(len(frame))],
            split=[("train", "test", "train", "validation")[n % 4] for n in range(len(frame))],
        ),
        "all rows of one review must be in one split",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_data_stops_at_the_check_and_registers_nothing(
    name: str, pipeline: Pipeline, small_reviews: pd.DataFrame
) -> None:
    from components.registry.client import connect

    breakage, cause = BROKEN[name]
    before = len(connect().search_model_versions())
    code, output, _ = pipeline.train(breakage(small_reviews), f"broken-{name}")
    assert code == 1
    assert cause in output
    assert "Inner task failed: 'require-data'" in output
    folder = pipeline.newest_run()
    assert {path.name for path in folder.iterdir()} - {"require-data"} == {"ingest", "check"}
    # The task that shows the report has succeeded, so that a cluster keeps the report.
    assert (folder / "check" / "executor_output.json").is_file()
    assert cause in html.unescape((folder / "check" / "report").read_text(encoding="utf-8"))
    assert len(connect().search_model_versions()) == before
