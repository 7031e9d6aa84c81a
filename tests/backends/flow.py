"""A small run of the whole loop, configured by environment variables only: train to gate, serve, watch.

The steps are those of the compiled graphs, in their order, in one process: importing torch, MLflow and Evidently once
instead of for each step is the whole difference.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import fsspec
import httpx
import pandas as pd
from kfp.dsl import HTML, Artifact, ClassificationMetrics, Dataset, Markdown, Metrics, Model

from components import monitoring_ops, ops
from components.train import TrainingSettings
from pipelines.predictor_process import PredictorProcess

SERVER = {
    "RATE_LIMIT": "1000/minute",
    "LOG_SEGMENT_SECONDS": "0.5",
    # Room for one answer in memory, so that repeated texts are looked up in the shared cache, where there is one.
    "CACHE_ENTRIES": "1",
    # The machine of the tests is busy with much else.
    "REDIS_TIMEOUT_SECONDS": "2",
}


@dataclass(frozen=True)
class Outcome:
    """The results of the run."""

    alias: str
    version: str
    served_version: str
    accuracy: float
    repeated_equal: bool
    metrics: str
    rate_limit_headers: set[str]
    watched: dict[str, Any]
    labelled: str
    action: str


@dataclass(frozen=True)
class Folder:
    """Where the artifacts of a run lie."""

    path: Path

    def new(self, kind: Callable[..., Any], name: str) -> Any:
        """Return an artifact with a place of its own."""
        return kind(name=name, uri=str(self.path / name))


def run(folder: Path, reviews: pd.DataFrame, base_model: Path) -> Outcome:
    """Train on `reviews`, register and promote; serve the champion; score the test rows; watch them."""
    run_folder = Folder(folder / "run")
    run_folder.path.mkdir(parents=True)
    source = folder / "reviews.csv"
    reviews.to_csv(source, index=False)
    version, alias, data = train(run_folder, str(source), str(base_model))
    rows = pd.read_parquet(data)
    rows = rows[rows["split"] == "test"]
    with PredictorProcess.start(folder / "server.log", SERVER) as server:
        served = score(server, rows)
    watched, labelled, action = watch(run_folder, folder)
    return Outcome(alias=alias, version=version, **served, watched=watched, labelled=labelled, action=action)


def train(folder: Folder, source: str, base_model: str) -> tuple[str, str, str]:
    """Take the training graph's steps; return the version, the alias that it got, and the path of the split data."""
    data, split_data = folder.new(Dataset, "data"), folder.new(Dataset, "split_data")
    data_check, evaluation, verification, decision = (
        folder.new(Artifact, name) for name in ("data_check", "evaluation", "verification", "decision")
    )
    model, exported, window = folder.new(Model, "model"), folder.new(Model, "exported"), folder.new(Dataset, "window")
    page, scores = folder.new(HTML, "report.html"), folder.new(Metrics, "scores")
    options = ops.ingest.python_func(source, "", "", "", "", "", "auto", "required", data)
    ops.check.python_func(data, "required", data_check, page)
    ops.split.python_func(data, split_data)
    settings = asdict(TrainingSettings(base_model, epochs=3.0, learning_rate=2e-3))
    del settings["batch_size"]  # the one that is no parameter of the pipeline
    origin = {"source": source, "source_options": options, "extra_data": ""}
    place = {"trainer": "step", "training_processes": 1, "training_nodes": 1, "training_folder": ""}
    names = {"pipeline_run": "backends", "pipeline_run_id": "backends-1"}
    run_id = ops.train.python_func(split_data, model=model, **settings, **origin, **place, **names)
    confusion = folder.new(ClassificationMetrics, "confusion")
    ops.evaluate.python_func(model, split_data, evaluation, scores, confusion, page)
    ops.export.python_func(model, evaluation, split_data, data_check, exported)
    ops.verify.python_func(exported, evaluation, split_data, verification, scores, page)
    verdict = ops.gate.python_func(evaluation, verification, split_data, decision, folder.new(Markdown, "gate.md"))
    assert verdict == "accepted", Path(decision.path, "decision.md").read_text(encoding="utf-8")
    ops.reference_window.python_func(exported, split_data, 0, window)
    version = ops.register.python_func(
        model, exported, evaluation, verification, decision, data_check, window, run_id, "backends"
    )
    return version, ops.promote.python_func(version, "auto"), split_data.path


def score(server: PredictorProcess, rows: pd.DataFrame) -> dict[str, Any]:
    """Score each row in a V2 request, and the first few again; wait until the log has them all."""
    texts = rows["text"].tolist()
    with httpx.Client(base_url=server.url, timeout=20) as client:
        found = [server.infer(client, text) for text in texts]
        again = [server.infer(client, text) for text in texts[:10]]
        reply = client.post("/v1/models/sentiment:predict", json={"instances": texts[:1]}).raise_for_status()
        metrics = client.get("/metrics").text
    wait_for_log(len(texts) + len(again) + 1)
    return {
        "served_version": reply.headers["x-model-version"],
        "accuracy": sum(map(str.__eq__, found, rows["label"])) / len(texts),
        "repeated_equal": again == found[:10],
        "metrics": metrics,
        "rate_limit_headers": {name for name in reply.headers if name.startswith("ratelimit-")},
    }


def wait_for_log(lines: int, seconds: float = 30) -> None:
    """Wait until the prediction log has this many lines; fail if it does not."""
    target = os.environ.get("PREDICTION_LOG") or f"{os.environ['STATE_DIR']}/predictions"
    filesystem, root = fsspec.url_to_fs(target)
    end = time.monotonic() + seconds
    while True:
        filesystem.invalidate_cache()
        paths = filesystem.glob(f"{root}/date=*/predictions-*.jsonl")
        found = sum(filesystem.cat_file(path).count(b"\n") for path in paths)
        if found == lines:
            return
        assert time.monotonic() < end, f"{target} has {found} lines after {seconds} s, not {lines}"
        time.sleep(0.2)


def watch(folder: Folder, state: Path) -> tuple[dict[str, Any], str, str]:
    """Take the monitoring graph's steps; return the report, the URL of labelled rows and the decision."""
    target = os.environ.get("PREDICTION_LOG") or f"{os.environ['STATE_DIR']}/predictions"
    kept = f"{target}-drift" if "://" in target else str(state / "drift")
    drift, page = folder.new(Artifact, "watched"), folder.new(HTML, "drift.html")
    places = (f"{kept}/history", f"{kept}/labelled.parquet", str(state / "evidently"))
    labelled = monitoring_ops.watch.python_func(target, 24.0, 500, *places, drift, page)
    action = monitoring_ops.decide.python_func(places[0], "backends", folder.new(Artifact, "drift_decision"))
    return dict(drift.metadata), labelled, action
