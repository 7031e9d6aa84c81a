"""The steps of a monitoring run, as the command line and the pipeline take them: judge, store labels, decide, alert."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pandas as pd

from monitoring import alerts, drift_thresholds, policy
from monitoring.drift.comparison import Check, Comparison, compare
from monitoring.drift.drift_report import DriftReport
from monitoring.drift.label_requests import ask_for_labels, write_requests
from monitoring.drift.sustained import with_evidence
from monitoring.drift_thresholds import Thresholds
from monitoring.history import History, Outcome
from monitoring.policy import Decision
from monitoring.prediction_log.engine import LogEngine
from monitoring.windows.file_reader import from_file
from monitoring.windows.grid import last_full_window
from monitoring.windows.label_store import LabelStore
from monitoring.windows.log_window import from_log, late_labels
from monitoring.windows.window import Window

LATE_LABEL_DAYS: Final = 90
"""Labels of predictions that are older than this are not stored."""


@dataclass(frozen=True)
class ReportDestinations:
    """Where a report is kept besides its own folder. An empty string means nowhere."""

    history: str = ""
    """Folder or fsspec URL of the kept reports and decisions."""
    workspace: str = ""
    """An Evidently workspace: a folder, or the URL of a running Evidently."""
    mlflow: str = ""
    """MLflow tracking URI."""
    label_requests: str = ""
    """JSONL file (path or fsspec URL) for the rows that people should label. It holds review texts."""


def champion_window(
    log: str,
    *,
    hours: float,
    rows: int,
    model_version: str,
    now: datetime | None = None,
    engine: LogEngine | None = None,
) -> Window:
    """Read one model version's newest window: its last `rows` predictions or, if `rows` is 0, a window of `hours`.

    A window of hours is the last complete one on the grid (see `windows.grid`), so that a late or repeated run reads
    the same window. `engine` reads the log, by default DuckDB; every engine gives the same window.

    Example: `champion_window(".local/predictions", hours=24, rows=0, model_version="3")`.
    """
    now = now or datetime.now(UTC)
    limits = drift_thresholds.load().window
    return from_log(
        log,
        max_rows=limits.current_rows,
        end=now if rows else last_full_window(now, hours)[1],
        hours=None if rows else hours,
        last_rows=rows or None,
        model_version=model_version,
        random_rows=limits.random_rows,
        engine=engine,
    )


def judge_window(
    reference: str,
    current: Window,
    output: Path,
    destinations: ReportDestinations,
    thresholds: Thresholds | None = None,
) -> DriftReport:
    """Compare a window with a reference file, write the report to the folder `output` and keep it.

    A window that cannot be judged gives a report that says why, without drift. If the history has a verdict on this
    window already, that verdict is returned. Raises WindowError if the reference cannot be read.

    Example: `judge_window("reference.parquet", window, Path("report"), ReportDestinations(history="history"))`.
    """
    from monitoring import mlflow_run  # MLflow takes many seconds to import
    from monitoring.drift.report_page import write_report

    thresholds = thresholds or drift_thresholds.load()
    window = from_file(reference, thresholds.window.reference_rows)
    comparison = judge(window, current, destinations.history, thresholds)
    page = write_report(comparison, output, destinations.workspace)
    if destinations.history:
        History(destinations.history).add_page(current.name, page.read_text(encoding="utf-8"))
    if destinations.label_requests:
        write_requests(ask_for_labels(comparison.current, current.random_part), destinations.label_requests)
    if destinations.mlflow:
        mlflow_run.log_report(comparison.report, output, destinations.mlflow)
    return comparison.report


def judge(
    reference: Window, current: Window, history: str, thresholds: Thresholds, check: Check | None = None
) -> Comparison:
    """Compare two windows, with the evidence of the champion's earlier windows, and keep the report in the history.

    If the history has a verdict on this window already, the comparison has that verdict. `history` may be empty.
    `check` replaces the check of the windows.

    Example: `judge(reference, window, "history", drift_thresholds.load()).report.drift`.
    """
    comparison = compare(reference, current, thresholds, check)
    if not history:
        return comparison
    kept = History(history)
    report = with_evidence(kept.reports(), comparison.report, thresholds)
    return replace(comparison, report=kept.add_report(report, datetime.now(UTC)))


def store_labels(window: Window, url: str, *, log: str = "", history: str = "", engine: LogEngine | None = None) -> str:
    """Add the window's labels to the label store at `url`; return the rows to train on, or "" if there are none.

    The returned path or URL names a version of the rows that later labels do not change.

    `log`: the prediction log, to add labels that arrived after the window of their prediction. `history`: where the
    number of stored rows is kept for the decision. `engine` reads the log, by default DuckDB.

    Example: `store_labels(window, "labelled.parquet", log=".local/predictions", history="history")`.
    """
    store = LabelStore(url)
    labels = [window.labels if len(window.labels) else window.labelled]
    if log and window.end:
        since = datetime.fromisoformat(window.end) - timedelta(days=LATE_LABEL_DAYS)
        known = store.known_labels()
        labels.append(late_labels(log, since=since, before=window.start, known=known, engine=engine))
    rows = store.add(pd.concat([part for part in labels if len(part)] or labels[:1], ignore_index=True))
    if history:
        History(history).add_stored_labels(window.name, rows)
    return store.keep_version() if rows else ""


def decide(history: str, thresholds: Thresholds | None = None, run: str = "") -> Decision:
    """Decide on the kept reports and keep the decision.

    `run` identifies the pipeline run. A retry within a run returns the decision that the run made before.

    Example: `decide(".local/drift/history").action`.
    """
    kept = History(history)
    earlier = [decision for decision in kept.decisions() if run and decision.run == run]
    if earlier:
        return earlier[-1]
    decision = policy.decide(
        kept.reports(),
        (thresholds or drift_thresholds.load()).policy,
        now=datetime.now(UTC),
        last_retraining=kept.last_retraining(),
        stored_labels=kept.stored_labels(),
        run=run,
    )
    kept.add_decision(decision)
    return decision


def record_outcome(history: str, *, version: str, promoted: bool, reason: str) -> Outcome:
    """Keep what became of a retraining. The cooldown starts at this outcome.

    Example: `record_outcome("history", version="4", promoted=True, reason="the gate accepted it")`.
    """
    kept = History(history)
    reports = kept.reports()
    newest = reports[-1].window if reports else ""
    outcome = Outcome(version, promoted, reason, newest, datetime.now(UTC).isoformat())
    kept.add_outcome(outcome)
    return outcome


def alert(decision: Decision, webhook: str, webhook_format: str, report_url: str = "") -> None:
    """Post a decision other than OK to the webhook, if one is given. Raises AlertError if it was not delivered."""
    if (url := _webhook(webhook)) and decision.action != "OK":
        alerts.send(url, decision, webhook_format, report_url)


def alert_failure(run: str, reason: str, webhook: str, webhook_format: str) -> None:
    """Post to the webhook, if one is given, that a monitoring run has failed. Raises AlertError.

    Example: `alert_failure("run-7", "watch: the log cannot be read", "https://hooks.example/…", "slack")`.
    """
    if url := _webhook(webhook):
        reasons = (f"the monitoring run {run} failed", reason)
        alerts.send(url, alerts.Failure(reasons, datetime.now(UTC).isoformat()), webhook_format)


def _webhook(given: str) -> str:
    """Return the address for alerts: the one that is given, else that of a Secret (environment: ALERT_WEBHOOK)."""
    return given or os.environ.get("ALERT_WEBHOOK", "")
