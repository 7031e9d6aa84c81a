"""The compiled monitoring graph on a small log: which tasks ran is what it decided."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from components import register
from feature_checks import bundle as bundles
from feature_checks.classifier import OnnxClassifier
from feature_checks.contract import LABELS
from feature_checks.prediction_record import FEEDBACK, PREDICTIONS, Kind, PredictionRecord, describe, segment_path
from pipelines.local import LocalRun

from .conftest import Pipeline, Trained

WATCHED = {"watch", "decide", "alert"}
RETRAINED = {"ingest", "check", "split", "train", "evaluate", "export", "verify", "gate", "reference", "register"}


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

    def answer(self, texts: Sequence[str], **changed: Any) -> None:
        """Append the champion's predictions of the texts, with the fields `changed` in each line."""
        start = datetime.now(UTC) - timedelta(minutes=1)
        rows = []
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
    assert register.version_of("champion") == "1"
    bundle = bundles.load(register.download_bundle("1", tmp_path_factory.mktemp("champion")))
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
    report = json.loads((run.artifact("watch", "findings") / "report.json").read_text())
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
def test_drift_twice_retrains_from_the_champion_on_the_labelled_rows(
    pipeline: Pipeline, champion: Champion, log: Log, reviews: pd.DataFrame
) -> None:
    rows = reviews.sample(400, random_state=0)
    log.answer(rows["text"][:200].tolist())
    tasks, report, decision = watch(pipeline, champion, log, rows=200)
    assert (report["status"], report["drift"], decision["action"]) == ("judged", True, "WATCH")
    assert tasks == WATCHED
    log.answer(rows["text"][200:].tolist())
    log.label(rows["label"][200:].tolist())
    tasks, report, decision = watch(pipeline, champion, log, rows=200)
    assert (report["labelled_rows"], decision["action"]) == (200, "RETRAIN")
    assert tasks - {"promote"} == WATCHED | RETRAINED
    trained = newest(pipeline, "split") / "split_data"
    feedback = pd.read_parquet(trained).query("source == 'feedback'")
    assert sorted(feedback["text"]) == sorted(rows["text"][200:])
    assert set(feedback["split"]) == {"train"}
    assert register.version_of("champion") in {"1", "2"}
    assert parameters_of_version("2")["train.base_model"] == "models:/review-sentiment@champion"


def newest(pipeline: Pipeline, task: str) -> Path:
    folder = max((pipeline.state / "pipelines").rglob(task), key=lambda path: path.stat().st_mtime)
    return Path(folder)


def parameters_of_version(version: str) -> dict[str, str]:
    from components.tracking import connect
    from feature_checks.contract import MODEL_NAME

    client = connect()
    run_id = client.get_model_version(MODEL_NAME, version).run_id
    return dict(client.get_run(run_id).data.params)
