"""The demo from its first step to the summary."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import pandas as pd

from feature_checks.contract import SPLIT
from feature_checks.state import state_dir
from pipelines.demo.drift import ENVIRONMENT, DriftStory
from pipelines.demo.timing import PartTimes
from pipelines.demo.traffic import measure
from pipelines.display.runner import FinishedRun, run_pipeline
from pipelines.display.screen import Screen
from pipelines.predictor_process import PredictorProcess

REQUESTS: Final = 500
"""Requests with a single text, which the latency figures come from."""


def run_demo(screen: Screen, params: Sequence[str], retraining: Sequence[str]) -> Path:
    """Run the parts in order; write the summary, print the results and return the summary's path.

    `params` are NAME=VALUE parameters of the training pipeline, `retraining` of the monitoring pipeline. Raises
    CommandFailed or PredictorFailed.

    Example: `run_demo(Screen(), ["epochs=1"], ["epochs=1"])`.
    """
    folder, times = state_dir() / "demo", PartTimes()
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "predictor.log"
    with times.part("train"):
        run = run_pipeline("training", params, screen)
    summary = training_summary(run)
    rows = test_rows(run)
    with ExitStack() as running:
        with times.part("serve"), screen.step("serve") as step:
            predictor = running.enter_context(PredictorProcess.start(log, ENVIRONMENT))
            summary["model_version"] = predictor.model_version()
            step.figure = f"version {summary['model_version']} at {predictor.url}"
        with times.part("score"), screen.step("score") as step:
            serving = summary["serving"] = measure(predictor, rows.head(REQUESTS), screen, step)
            step.figure = f"{serving['requests']} requests, p50 {serving['p50_ms']} ms, p95 {serving['p95_ms']} ms"
        summary |= DriftStory(screen, predictor, folder, times).tell(rows, retraining)
    path = folder / "summary.json"
    path.write_text(json.dumps(summary | {"seconds": times}, indent=2), encoding="utf-8")
    for line in result_lines(summary):
        screen.note(line)
    screen.note(f"\nsummary  {path}\noutputs  {run.folder}\nlogs     {run.logs.parent} and {log}")
    return path


def training_summary(run: FinishedRun) -> dict[str, Any]:
    """Return the summary's members that the outputs of the training run hold."""
    evaluation = json.loads(run.output("evaluate", "evaluation.json").read_text(encoding="utf-8"))
    parity = json.loads(run.output("verify", "parity.json").read_text(encoding="utf-8"))
    decision = json.loads(run.output("gate", "decision.json").read_text(encoding="utf-8"))
    return {
        "macro_f1": decision["candidate"]["macro_f1"],
        "baseline_macro_f1": evaluation["baseline_macro_f1"],
        "human_macro_f1": evaluation["human_macro_f1"],
        "parity": {name: parity[name] for name in ("fp32", "int8", "batching", "latency_ms", "bundle_bytes")},
        "gate": {"accepted": decision["accepted"], "reasons": decision["reasons"]},
    }


def test_rows(run: FinishedRun) -> pd.DataFrame:
    """Return the test split of the training run."""
    frame = pd.read_parquet(run.folder / "split" / "split_data")
    return frame[frame[SPLIT] == "test"]


def result_lines(summary: dict[str, Any]) -> list[str]:
    """Return the results in words, a line each."""
    human, retrained, drift = summary["human_macro_f1"], summary["retrained"], summary["drift"]
    rater = "" if human is None else f", an average human rater {human:.3f}"
    drifting = {True: "drift", False: "no drift"}
    promoted = "promoted" if retrained["promoted"] else "not promoted"
    return [
        "",
        f"first model  macro-F1 {summary['macro_f1']:.3f}; the VADER baseline has {summary['baseline_macro_f1']:.3f}"
        f"{rater}",
        f"drift        product reviews: {drifting[drift['same_domain']]}; tweets: {drifting[drift['shifted']]}; "
        f"decision {summary['decision']}",
        f"retrained    version {retrained['version'] or '–'}, {promoted}: {retrained['reason']}",
        f"             macro-F1 on held-out tweets {retrained['macro_f1_before']:.3f} before, "
        f"{retrained['macro_f1_after']:.3f} after",
    ]
