"""The compiled monitoring graph on a small log: which tasks ran is what it decided."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from components.registry import aliases, artifacts
from components.registry.explanation import explain
from feature_checks import bundle as bundles
from feature_checks.classifier import OnnxClassifier
from feature_checks.contract import LABELS
from feature_checks.prediction_record import FEEDBACK, PREDICTIONS, Kind, PredictionRecord, describe, segment_path
from monitoring.history import History
from monitoring.steps import decide
from pipelines.compiling import COMPILED
from pipelines.local import LocalRun
from tests.support.launcher_rules import problems
from tests.support.webhook import Receiver

from .conftest import Pipeline, Trained

WATCHED = {"watch", "decide", "alert", "alert-on-failure"}
RETRAINED = {
    "ingest",
    "check",
    "require-data",
    "split",
    "train",
    "evaluate",
    "export",
    "verify",
    "gate",
    "reference-window",
    "register",
}

# The evaluation holds the same report, which quotes the most confident mistakes; `shared` beside it quotes nothing.
HOLD_TEXTS = (
    "ingest/data", "split/split_data", "reference-window/window", "evaluate/report", "evaluate/evaluation",
    "check/report",
)  # fmt: skip
"""Artifacts that hold reviews by design. The report on drift is none of them."""


@dataclass(frozen=True)
class Champion:
    """Version 1, and the texts of its test split."""

    classifier: OnnxClassifier
    source: Path
    test_texts: list[str]


@dataclass
class Log:
    """A prediction log whose lines the champion wrote."""

    folder: Path
    classifier: OnnxClassifier
    segments: int = 0
    texts: list[str] = field(default_factory=list)

    def answer(self, texts: Sequence[str], **changed: Any) -> None:
        """Append the champion's predictions of the texts, with the fields `changed` in each line."""
        start = datetime.now(UTC) - timedelta(minutes=1)
        self.texts += texts
        rows: list[dict[str, Any]] = []
        for text, (one, two, three) in zip(texts, self.classifier.probabilities(texts).tolist(), strict=True):
            best = max(range(3), key=(one, two, three).__getitem__)
            record = PredictionRecord(
                request_id=f"segment-{self.segments}-{len(rows)}", item=0,
                timestamp=(start + timedelta(milliseconds=len(rows))).isoformat(timespec="milliseconds"),
                text=text, **describe(text)._asdict(), label=LABELS[best], confidence=max(one, two, three),
                probabilities=(one, two, three), model_version="1", cached=False, latency_ms=1.0, protocol="v2",
                user_hash="",
            )  # fmt: skip
            rows.append(asdict(record) | changed)
        self._write(PREDICTIONS, rows)

    def label(self, labels: Sequence[str]) -> None:
        """Append feedback for the texts answered last."""
        moment = datetime.now(UTC).isoformat(timespec="milliseconds")
        request = f"segment-{self.segments - 1}"
        rows = [
            {"request_id": f"{request}-{number}", "item": 0, "timestamp": moment, "label": label}
            for number, label in enumerate(labels)
        ]
        self._write(FEEDBACK, rows)

    def _write(self, kind: Kind, rows: list[dict[str, Any]]) -> None:
        path = self.folder / segment_path(kind, f"{datetime.now(UTC):%Y-%m-%d}", f"pod-{self.segments}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        self.segments += kind == PREDICTIONS


@pytest.fixture(scope="module")
def champion(pipeline: Pipeline, trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Champion:
    del pipeline
    assert aliases.version_of("champion") == "1"
    bundle = bundles.load(artifacts.download_bundle("1", tmp_path_factory.mktemp("champion")))
    data = pd.read_parquet(trained.run.artifact("split", "split_data"))
    texts = data[data["split"] == "test"]["text"].tolist()
    return Champion(OnnxClassifier(bundle), trained.pipeline.state / "good.csv", texts)


@pytest.fixture
def log(tmp_path: Path, champion: Champion) -> Log:
    return Log(tmp_path / "log", champion.classifier)


def watch(
    pipeline: Pipeline, champion: Champion, log: Log, rows: int
) -> tuple[set[str], dict[str, Any], dict[str, Any]]:
    """Run the graph; return the tasks that ran, the report and the decision."""
    folder = log.folder.parent
    code, output, run = pipeline.run(
        "monitoring", log=log.folder, history=folder / "history", labelled=folder / "labelled.parquet", rows=rows,
        workspace=folder / "workspace", source=champion.source, epochs=1.0,
    )  # fmt: skip
    assert code == 0, output[-3000:]
    assert isinstance(run, LocalRun)
    texts = [text for text in log.texts if len(text) > 20]
    assert problems(run.folder, COMPILED / "monitoring.yaml", texts, HOLD_TEXTS) == []
    report = json.loads((run.artifact("watch", "drift") / "report.json").read_text())
    assert "</html>" in run.artifact("watch", "report").read_text()
    return set(run.tasks), report, json.loads(run.artifact("decide", "decision").read_text())


@pytest.mark.timeout(400)
def test_a_quiet_window_leads_to_nothing(pipeline: Pipeline, champion: Champion, log: Log) -> None:
    log.answer(champion.test_texts)
    tasks, report, decision = watch(pipeline, champion, log, rows=500)
    assert (report["status"], report["drift"]) == ("judged", False), report["reasons"]
    assert decision["action"] == "OK"
    assert tasks == WATCHED
    assert (log.folder.parent / "workspace").is_dir()


@pytest.mark.parametrize(
    ("changed", "status", "reason"),
    [
        (None, "too_few_rows", "has 0 rows; at least 100 are needed"),
        ({"label": "positive"}, "invalid", "label"),
        ({"confidence": 7.5}, "invalid", "confidence"),
    ],
    ids=["empty", "one class", "broken column"],
)
@pytest.mark.timeout(400)
def test_a_window_that_cannot_be_judged_is_said_and_retrains_nothing(
    changed: dict[str, Any] | None, status: str, reason: str, pipeline: Pipeline, champion: Champion, log: Log
) -> None:
    if changed is not None:
        log.answer(champion.test_texts[:120], **changed)
    tasks, report, decision = watch(pipeline, champion, log, rows=500)
    assert (report["status"], report["drift"]) == (status, False)
    assert reason in " ".join(report["reasons"])
    assert decision["action"] == "WATCH"
    assert tasks == WATCHED


@pytest.mark.timeout(400)
def test_a_run_that_fails_alerts_people(pipeline: Pipeline, tmp_path: Path) -> None:
    (tmp_path / "history").write_text("a file where a folder belongs")
    with Receiver.start() as receiver:
        code, output, _ = pipeline.run(
            "monitoring", log=tmp_path / "log", history=tmp_path / "history", labelled=tmp_path / "labelled.parquet",
            webhook=receiver.url, rows=500,
        )  # fmt: skip
    assert code == 1
    assert "Inner task failed: 'watch'" in output
    (body,) = receiver.bodies
    assert body["text"].startswith("*review-sentiment: FAILED*\n• the monitoring run ")


@pytest.mark.timeout(400)
def test_drift_twice_retrains_from_the_champion_on_the_labelled_rows(
    pipeline: Pipeline, champion: Champion, log: Log, reviews: pd.DataFrame
) -> None:
    rows = reviews.sample(650, random_state=0)
    log.answer(rows["text"][:200].tolist())
    tasks, report, decision = watch(pipeline, champion, log, rows=200)
    assert (report["status"], report["drift"], decision["action"]) == ("judged", True, "WATCH")
    assert tasks == WATCHED
    log.answer(rows["text"][200:].tolist())
    log.label(rows["label"][200:].tolist())
    tasks, report, decision = watch(pipeline, champion, log, rows=450)
    assert (report["labelled_rows"], decision["action"]) == (450, "RETRAIN")
    assert tasks - {"promote"} == WATCHED | RETRAINED | {"outcome"}
    assert_decisions_and_outcome_are_kept(History(str(log.folder.parent / "history")), report["window"])
    trained = newest(pipeline, "split") / "split_data"
    feedback = pd.read_parquet(trained).query("source == 'feedback'")
    given = pd.read_parquet(log.folder.parent / "labelled-labels.parquet")
    assert sorted(given["text"]) == sorted(rows["text"][200:])
    # Some labels contradict a confident prediction, and no second user confirms them.
    quarantined = pd.read_json(log.folder.parent / "labelled-quarantine.jsonl", lines=True)
    assert set(feedback["text"]) == set(given["text"]) - set(quarantined.get("text", ()))
    # A fixed share by the hash of the text is held out, and the gate asks for a gain on it.
    assert set(feedback["split"]) == {"train", "test"}
    gate = json.loads((newest(pipeline, "gate") / "decision" / "decision.json").read_text())
    assert gate["evidence"]["new_domain_rows"] == (feedback["split"] == "test").sum()
    assert "gain on the new domain" in {rule["name"] for rule in gate["rules"]}
    assert aliases.version_of("champion") in {"1", "2"}
    assert parameters_of_version("2")["train.base_model"] == "models:/review-sentiment@champion"
    assert_the_lineage_leads_to_the_labels(log.folder.parent)


def assert_decisions_and_outcome_are_kept(history: History, window: str) -> None:
    """A retried task repeats the decision of its run, and the cooldown counts from the outcome."""
    runs = [decision.run for decision in history.decisions()]
    assert all(runs)
    assert len(set(runs)) == len(runs) == 2
    assert decide(history.url, run=runs[-1]) == history.decisions()[-1]
    (outcome,) = history.outcomes()
    assert (outcome.version, outcome.newest) == ("2", window)
    assert outcome.promoted == (aliases.version_of("champion") == "2")
    assert decide(history.url, run="the next run").action == "WATCH"


def assert_the_lineage_leads_to_the_labels(folder: Path) -> None:
    """The run names the champion's version, and a version of the labels that later labels do not change."""
    from components.registry.client import connect
    from feature_checks.contract import MODEL_NAME

    client = connect()
    run = client.get_run(client.get_model_version(MODEL_NAME, "2").run_id)
    assert run.data.tags["base_model_version"] == "1"
    (dataset,) = run.inputs.dataset_inputs
    extra = Path(json.loads(dataset.dataset.source)["extra_data"])
    assert extra.parent == folder
    assert extra.name.startswith("labelled-")
    assert f"--param extra_data={extra}" in explain("2")
    assert "--param base_model=models:/review-sentiment/1" in explain("2")


def newest(pipeline: Pipeline, task: str) -> Path:
    folder = max((pipeline.state / "pipelines").rglob(task), key=lambda path: path.stat().st_mtime)
    return Path(folder)


def parameters_of_version(version: str) -> dict[str, str]:
    from components.registry.client import connect
    from feature_checks.contract import MODEL_NAME

    client = connect()
    run_id = client.get_model_version(MODEL_NAME, version).run_id
    return dict(client.get_run(run_id).data.params)
