"""The demo's second half: a quiet window, then another domain, the decision, and the retrained model in service."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import httpx
import pandas as pd

from feature_checks import scores
from feature_checks.contract import GROUP_ID, LABEL, SPLIT, TEXT
from feature_checks.splits import assign_splits
from feature_checks.state import state_dir
from pipelines.demo_command import DemoFailed, console, run_module, run_pipeline
from pipelines.server import MODEL, ServerProcess

QUIET, FIRST, SECOND = 500, 500, 1500
"""Texts of the three windows. The last one is labelled: what is retrained on."""
BATCH: Final = 100
ENVIRONMENT: Final = {"FEEDBACK": "on", "ALIAS_POLL_SECONDS": "2", "LOG_SEGMENT_SECONDS": "1"}
"""What the server needs for this: labels are taken, a new champion is seen and a log on a URL uploaded soon."""


class Steps(Protocol):
    """Announces and times steps."""

    def step(self, name: str) -> AbstractContextManager[None]:
        """Announce and time one step."""


@dataclass(frozen=True)
class Watched:
    """One window's outcome."""

    folder: Path
    drift: bool
    action: str
    reasons: Sequence[str]


def close_the_loop(
    steps: Steps, server: ServerProcess, folder: Path, amazon: pd.DataFrame, retraining: Sequence[str]
) -> dict[str, Any]:
    """Replay both domains, retrain when the policy says so; return the summary's members drift, decision, retrained.

    `amazon`: the test split. `retraining`: NAME=VALUE for the monitoring pipeline.
    """
    kept = folder / "drift"
    shutil.rmtree(kept, ignore_errors=True)
    with httpx.Client(base_url=server.url, timeout=60) as client:
        with steps.step("quiet window"):
            tweets = tweets_by_split(folder)
            before = macro_f1(client, tweets["test"])
            replay(client, by_review(amazon).head(QUIET))
            quiet = watch(kept, QUIET)
        with steps.step("first window of tweets"):
            replay(client, tweets["train"][:FIRST])
            first = watch(kept, FIRST)
        with steps.step("second window of tweets, retraining"):
            shifted = tweets["train"][FIRST : FIRST + SECOND]
            label(client, replay(client, shifted), shifted)
            second = watch(kept, SECOND, retraining)
        with steps.step("new model in service"):
            retrained = outcome(second, server)
            after = macro_f1(client, tweets["test"])
    return {
        "drift": {"same_domain": quiet.drift, "shifted": first.drift and second.drift},
        "decision": second.action,
        "retrained": retrained | {"macro_f1_before": before, "macro_f1_after": after},
    }


def tweets_by_split(folder: Path) -> dict[str, pd.DataFrame]:
    """Return the tweets, shuffled: `train` is replayed and labelled, `test` only ever measured."""
    path = folder / "tweets.parquet"
    run_module("components.ingest", "--source", "icwsm2014:tweets", "--output", str(path))
    return shuffled_splits(pd.read_parquet(path))


def shuffled_splits(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the rows of the splits `train` and `test`, each in one random order."""
    rows = assign_splits(frame).sample(frac=1, random_state=0)
    return {name: rows[rows[SPLIT] == name] for name in ("train", "test")}


def by_review(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with whole reviews shuffled: their ids are in the order of products."""
    groups = frame[GROUP_ID].drop_duplicates().sample(frac=1, random_state=0)
    return frame.set_index(GROUP_ID, drop=False).loc[groups]


def replay(client: httpx.Client, rows: pd.DataFrame) -> list[tuple[str, int]]:
    """Send the texts over V1; return each one's request id and its index in that request."""
    texts, keys = rows[TEXT].tolist(), []
    for start in range(0, len(texts), BATCH):
        batch = texts[start : start + BATCH]
        reply = predict(client, batch)
        keys += [(reply.headers["X-Request-Id"], item) for item in range(len(batch))]
    wait_for_log()
    return keys


def predict(client: httpx.Client, texts: Sequence[str]) -> httpx.Response:
    """Return the reply to one V1 request."""
    return client.post(f"/v1/models/{MODEL}:predict", json={"instances": list(texts)}).raise_for_status()


def label(client: httpx.Client, keys: Sequence[tuple[str, int]], rows: pd.DataFrame) -> None:
    """Send the true labels of answered texts."""
    for (request_id, item), truth in zip(keys, rows[LABEL], strict=True):
        body = {"request_id": request_id, "item": item, "label": truth}
        client.post(f"/v1/models/{MODEL}/feedback", json=body).raise_for_status()
    wait_for_log()


def prediction_log() -> str:
    """Return where the server logs (environment: PREDICTION_LOG, default in the state folder)."""
    return os.environ.get("PREDICTION_LOG") or str(state_dir() / "predictions")


def wait_for_log() -> None:
    """Return when the log has what was answered: a folder within 0.1 s, a URL after segment, poll and upload."""
    time.sleep(5 if "://" in prediction_log() else 1)


def macro_f1(client: httpx.Client, rows: pd.DataFrame) -> float:
    """Return the served model's macro-F1."""
    found: list[str] = []
    for start in range(0, len(rows), BATCH):
        batch = rows[TEXT].tolist()[start : start + BATCH]
        found += [one["label"] for one in predict(client, batch).json()["predictions"]]
    return round(scores.macro_f1(scores.class_indices(rows[LABEL].tolist()), scores.class_indices(found)), 4)


def watch(kept: Path, rows: int, retraining: Sequence[str] = ()) -> Watched:
    """Run the monitoring pipeline on the newest rows of the log; show what it found."""
    places = {
        "log": prediction_log(),
        "history": kept / "history",
        "labelled": kept / "labelled.parquet",
        "workspace": state_dir() / "evidently",
        "rows": rows,
    }
    run = run_pipeline("monitoring", [*(f"{name}={value}" for name, value in places.items()), *retraining])
    report = json.loads((run / "watch" / "findings" / "report.json").read_text(encoding="utf-8"))
    decision = json.loads((run / "decide" / "decision").read_text(encoding="utf-8"))
    if report["status"] != "judged":
        raise DemoFailed(f"the window was not judged: {'; '.join(report['reasons'])}")
    console.print(f"[bold]drift: {report['drift']}, decision: {decision['action']}")
    for reason in decision["reasons"]:
        console.print(f"  {reason}", highlight=False)
    console.print(f"  report: {run / 'watch' / 'findings' / 'report.html'}", highlight=False, soft_wrap=True)
    return Watched(run, report["drift"], decision["action"], decision["reasons"])


def outcome(watched: Watched, server: ServerProcess) -> dict[str, Any]:
    """Return what retraining came to; when it was promoted, wait until the running server serves it."""
    if watched.action != "RETRAIN":
        console.print("[yellow]there was no retraining")
        return {"version": None, "promoted": False, "reason": "; ".join(watched.reasons)}
    gate = json.loads((watched.folder / "gate" / "decision" / "decision.json").read_text(encoding="utf-8"))
    executed = json.loads((watched.folder / "register" / "executor_output.json").read_text(encoding="utf-8"))
    version = executed["parameterValues"]["Output"]
    if not gate["accepted"]:
        reason = "; ".join(gate["reasons"])
        console.print(f"[yellow]the gate refused version {version}, the champion stays: {reason}")
        return {"version": version, "promoted": False, "reason": reason}
    server.wait_for_version(version)
    console.print(f"[green]the running server serves version {version}")
    return {"version": version, "promoted": True, "reason": "the gate accepted it"}
