"""The demo's second half: a window without drift, then another domain, the decision, and the retrained model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import pandas as pd

from feature_checks.contract import GROUP_ID, SPLIT
from feature_checks.splits import assign_splits
from feature_checks.state import state_dir
from pipelines.demo.timing import PartTimes
from pipelines.demo.traffic import prediction_log, replay, send_labels, served_macro_f1
from pipelines.display.runner import CommandFailed, FinishedRun, run_module, run_pipeline
from pipelines.display.screen import Screen
from pipelines.predictor_process import PredictorProcess

QUIET: Final = 500
"""Product reviews of the window without drift."""
FIRST: Final = 500
"""Tweets of the first window with drift."""
SECOND: Final = 2200
"""Tweets of the second window with drift. They are labelled. The model is retrained on about two thirds of them; the
others are held out."""
ENVIRONMENT: Final = {"FEEDBACK": "on", "ALIAS_POLL_SECONDS": "2", "LOG_SEGMENT_SECONDS": "1"}
"""Settings of the predictor: it accepts labels, sees a new champion soon, and uploads a log on a URL soon."""


@dataclass(frozen=True)
class WindowResult:
    """What the monitoring pipeline found in one window."""

    run: FinishedRun
    drift: bool
    action: str
    reasons: Sequence[str]


@dataclass(frozen=True)
class DriftStory:
    """What the second half needs: where it draws, which predictor it calls, and where it keeps files."""

    screen: Screen
    predictor: PredictorProcess
    folder: Path
    times: PartTimes

    def tell(self, amazon: pd.DataFrame, retraining: Sequence[str]) -> dict[str, Any]:
        """Replay both domains and retrain when the policy decides so.

        Return the summary's members `drift`, `decision` and `retrained`. `amazon` is the test split, `retraining` holds
        NAME=VALUE parameters for the monitoring pipeline.
        """
        shutil.rmtree(self.folder / "drift", ignore_errors=True)
        with httpx.Client(base_url=self.predictor.url, timeout=60) as client:
            with self.times.part("quiet window"):
                with self.screen.step("ingest tweets") as step:
                    tweets = self.tweets_by_split()
                    before = served_macro_f1(client, tweets["test"])
                    step.figure = f"macro-F1 {before:.3f} on held-out tweets"
                self._send("product reviews", client, by_review(amazon).head(QUIET))
                quiet = self.watch(QUIET)
            with self.times.part("first window of tweets"):
                self._send("tweets", client, tweets["train"][:FIRST])
                first = self.watch(FIRST)
            with self.times.part("second window of tweets, retraining"):
                self._send("labelled tweets", client, tweets["train"][FIRST : FIRST + SECOND], labelled=True)
                second = self.watch(SECOND, retraining)
            with self.times.part("new model in service"), self.screen.step("new model") as step:
                retrained = self.outcome(second)
                after = served_macro_f1(client, tweets["test"])
                step.figure = f"{_served(retrained)}, macro-F1 {after:.3f} on held-out tweets"
        return {
            "drift": {"same_domain": quiet.drift, "shifted": first.drift and second.drift},
            "decision": second.action,
            "retrained": retrained | {"macro_f1_before": before, "macro_f1_after": after},
        }

    def tweets_by_split(self) -> dict[str, pd.DataFrame]:
        """Return the tweets, shuffled: `train` is replayed and labelled, `test` is only measured."""
        path = self.folder / "tweets.parquet"
        arguments = ["--source", "icwsm2014:tweets", "--output", str(path)]
        run_module("components.ingest", arguments, self.folder / "ingest-tweets.log", self.screen)
        return shuffled_splits(pd.read_parquet(path))

    def watch(self, rows: int, retraining: Sequence[str] = ()) -> WindowResult:
        """Run the monitoring pipeline on the newest rows of the log. Raises CommandFailed for a window not judged."""
        kept = self.folder / "drift"
        places = {
            "log": prediction_log(),
            "history": kept / "history",
            "labelled": kept / "labelled.parquet",
            "workspace": state_dir() / "evidently",
            "rows": rows,
        }
        params = [*(f"{name}={value}" for name, value in places.items()), *retraining]
        run = run_pipeline("monitoring", params, self.screen)
        report = json.loads(run.output("watch", "report.json").read_text(encoding="utf-8"))
        decision = json.loads((run.folder / "decide" / "decision").read_text(encoding="utf-8"))
        if report["status"] != "judged":
            raise CommandFailed("the window's drift report", "; ".join(report["reasons"]), run.logs)
        return WindowResult(run, report["drift"], decision["action"], decision["reasons"])

    def outcome(self, window: WindowResult) -> dict[str, Any]:
        """Return what the retraining led to; wait until a new champion is served."""
        if window.action != "RETRAIN":
            return {"version": None, "promoted": False, "reason": "; ".join(window.reasons)}
        gate = json.loads(window.run.output("gate", "decision.json").read_text(encoding="utf-8"))
        executed = json.loads((window.run.folder / "register" / "executor_output.json").read_text(encoding="utf-8"))
        version = executed["parameterValues"]["Output"]
        if not gate["accepted"]:
            return {"version": version, "promoted": False, "reason": "; ".join(gate["reasons"])}
        self.predictor.wait_for_version(version)
        return {"version": version, "promoted": True, "reason": "the gate accepted it"}

    def _send(self, name: str, client: httpx.Client, rows: pd.DataFrame, *, labelled: bool = False) -> None:
        with self.screen.step(name) as step:
            keys = replay(client, rows)
            if labelled:
                send_labels(client, keys, rows)
            step.figure = f"{len(rows):,} texts scored{' and labelled' if labelled else ''}"


def shuffled_splits(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the rows of the splits `train` and `test`, each in one random order."""
    rows = assign_splits(frame).sample(frac=1, random_state=0)
    return {name: rows[rows[SPLIT] == name] for name in ("train", "test")}


def by_review(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with whole reviews shuffled, because their ids are in the order of products."""
    groups = frame[GROUP_ID].drop_duplicates().sample(frac=1, random_state=0)
    return frame.set_index(GROUP_ID, drop=False).loc[groups]


def _served(retrained: dict[str, Any]) -> str:
    if retrained["version"] is None:
        return "no retraining"
    if not retrained["promoted"]:
        return f"version {retrained['version']} rejected"
    return f"version {retrained['version']} served"
