"""How the demo ends: with the retrained model in service, or with the reason why not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import httpx
import pandas as pd
import pytest

from components.results import gate_decision
from components.results.gate_decision import Champion, Change, GateDecision, ServedScore
from pipelines.demo.drift import DriftStory, WindowResult, shuffled_splits
from pipelines.demo.story import result_lines
from pipelines.demo.timing import PartTimes
from pipelines.display.runner import FinishedRun
from pipelines.display.screen import Screen
from pipelines.predictor_process import PredictorFailed, PredictorProcess
from tests.support.ports import free_port

SCORE = ServedScore(0.7, {"negative": 0.7, "neutral": 0.7, "positive": 0.7})
REFUSAL = "macro-F1 changes by -0.030 from champion version 1"


@pytest.fixture
def story(tmp_path: Path) -> DriftStory:
    """The demo's second half with a predictor that has ended: waiting for its version fails."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    predictor = PredictorProcess(process, f"http://127.0.0.1:{free_port()}", tmp_path / "predictor.log")
    return DriftStory(Screen(), predictor, tmp_path, PartTimes())


def retraining(folder: Path, reasons: list[str]) -> WindowResult:
    """Write the two outputs of a retraining that the demo reads."""
    champion = Champion("1", SCORE, Change(-0.03, -0.05))
    decision = folder / "gate" / "decision"
    decision.mkdir(parents=True)
    gate_decision.save(GateDecision(not reasons, reasons, SCORE, 0.57, champion), decision)
    (folder / "register").mkdir()
    executed = {"parameterValues": {"Output": "2"}}
    (folder / "register" / "executor_output.json").write_text(json.dumps(executed), encoding="utf-8")
    return WindowResult(FinishedRun(folder, folder), True, "RETRAIN", ["2 of the last 3 windows show drift"])


def test_a_rejected_candidate_ends_the_demo_cleanly_and_the_reason_is_shown(tmp_path: Path, story: DriftStory) -> None:
    retrained = story.outcome(retraining(tmp_path, [REFUSAL]))
    assert retrained == {"version": "2", "promoted": False, "reason": REFUSAL}
    lines = "\n".join(result_lines(finished_summary(retrained)))
    assert f"version 2, not promoted: {REFUSAL}" in lines
    assert "product reviews: no drift; tweets: drift; decision RETRAIN" in lines


def test_an_accepted_candidate_is_waited_for(tmp_path: Path, story: DriftStory) -> None:
    with pytest.raises((PredictorFailed, httpx.TransportError)):
        story.outcome(retraining(tmp_path, []))


def test_without_retraining_the_reasons_are_the_decisions(tmp_path: Path, story: DriftStory) -> None:
    reasons = ["the newest window shows drift", "one alone does not count"]
    outcome = story.outcome(WindowResult(FinishedRun(tmp_path, tmp_path), True, "WATCH", reasons))
    assert outcome == {"version": None, "promoted": False, "reason": "; ".join(reasons)}


def test_both_splits_are_shuffled_the_same_way_each_time() -> None:
    rows = pd.DataFrame({"group_id": [f"tweets:{n}" for n in range(200)]})
    first, second = shuffled_splits(rows), shuffled_splits(rows)
    assert first["train"].equals(second["train"])
    assert not first["train"].index.is_monotonic_increasing
    assert set(first["train"].index).isdisjoint(first["test"].index)


def finished_summary(retrained: dict[str, object]) -> dict[str, object]:
    return {
        "model_version": "1", "macro_f1": 0.76, "baseline_macro_f1": 0.57, "human_macro_f1": None,
        "drift": {"same_domain": False, "shifted": True}, "decision": "RETRAIN",
        "retrained": retrained | {"macro_f1_before": 0.6, "macro_f1_after": 0.6},
    }  # fmt: skip
