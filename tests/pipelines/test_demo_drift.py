"""How the demo ends: with the retrained model in service, or saying why not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import httpx
import pandas as pd
import pytest

from components import gate
from components.gate import Champion, Decision, ServedScore
from components.metrics import Change
from pipelines import demo_drift
from pipelines.demo import Demo, result_table
from pipelines.demo_command import console
from pipelines.demo_drift import Watched
from pipelines.server import ServerFailed, ServerProcess, free_ports

SCORE = ServedScore(0.7, {"negative": 0.7, "neutral": 0.7, "positive": 0.7})
REFUSAL = "macro-F1 changes by -0.030 from champion version 1"


@pytest.fixture
def ended_server(tmp_path: Path) -> ServerProcess:
    """A predictor that is no more: whoever waits for it fails."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return ServerProcess(process, f"http://127.0.0.1:{free_ports(1)[0]}", tmp_path / "server.log")


def retraining(folder: Path, reasons: list[str]) -> Watched:
    """Write the two outputs of a retraining that the demo reads."""
    champion = Champion("1", SCORE, Change(-0.03, -0.05))
    gate.save(Decision(not reasons, reasons, SCORE, 0.57, champion), folder / "gate" / "decision")
    (folder / "register").mkdir()
    executed = {"parameterValues": {"Output": "2"}}
    (folder / "register" / "executor_output.json").write_text(json.dumps(executed), encoding="utf-8")
    return Watched(folder, True, "RETRAIN", ["2 of the last 3 windows show drift"])


def test_a_refused_candidate_ends_the_demo_cleanly_and_is_said(
    tmp_path: Path, ended_server: ServerProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    retrained = demo_drift.outcome(retraining(tmp_path, [REFUSAL]), ended_server)
    assert retrained == {"version": "2", "promoted": False, "reason": REFUSAL}
    assert f"the gate refused version 2, the champion stays: {REFUSAL}" in " ".join(capsys.readouterr().out.split())
    console.print(result_table(finished_demo(tmp_path, retrained)))
    assert "version 2, promoted False" in capsys.readouterr().out


def test_an_accepted_candidate_is_waited_for(tmp_path: Path, ended_server: ServerProcess) -> None:
    with pytest.raises((ServerFailed, httpx.TransportError)):
        demo_drift.outcome(retraining(tmp_path, []), ended_server)


def test_without_retraining_the_reasons_are_the_decisions(tmp_path: Path, ended_server: ServerProcess) -> None:
    watched = Watched(tmp_path, True, "WATCH", ["the newest window shows drift", "one alone does not count"])
    reason = "the newest window shows drift; one alone does not count"
    assert demo_drift.outcome(watched, ended_server) == {"version": None, "promoted": False, "reason": reason}


def test_both_splits_are_shuffled_the_same_way_each_time() -> None:
    rows = pd.DataFrame({"group_id": [f"tweets:{n}" for n in range(200)]})
    first, second = demo_drift.shuffled_splits(rows), demo_drift.shuffled_splits(rows)
    assert first["train"].equals(second["train"])
    assert not first["train"].index.is_monotonic_increasing
    assert set(first["train"].index).isdisjoint(first["test"].index)


def finished_demo(folder: Path, retrained: dict[str, object]) -> Demo:
    demo = Demo(folder)
    demo.summary = {
        "model_version": "1", "macro_f1": 0.76, "baseline_macro_f1": 0.57, "human_macro_f1": None,
        "parity": {"int8": {"label_agreement": 0.99}}, "gate": {"accepted": True, "reasons": []},
        "serving": {"p50_ms": 4.0, "p95_ms": 10.0}, "drift": {"same_domain": False, "shifted": True},
        "decision": "RETRAIN", "retrained": retrained | {"macro_f1_before": 0.6, "macro_f1_after": 0.6},
    }  # fmt: skip
    return demo
