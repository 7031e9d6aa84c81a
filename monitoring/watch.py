"""One round of watching, as the command line and the pipeline take it: report, decide, alert."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from monitoring import alerts, policy, thresholds
from monitoring.history import History
from monitoring.policy import Decision
from monitoring.report import DriftReport, compare
from monitoring.thresholds import Thresholds
from monitoring.window import Window, from_file, from_log, write_labelled


@dataclass(frozen=True)
class Keep:
    """Where a report is kept besides its own folder; "" for nowhere."""

    history: str = ""
    """Folder or fsspec URL of reports and decisions."""
    workspace: str = ""
    """An Evidently workspace: a folder, or the URL of a running Evidently."""
    mlflow: str = ""
    """MLflow tracking URI."""


def window_of_log(log: str, *, hours: float, rows: int, model_version: str) -> Window:
    """Read one model version's newest predictions: its last `rows`, or with 0 those of the last `hours`."""
    return from_log(
        log,
        max_rows=thresholds.load().window.current_rows,
        end=datetime.now(UTC),
        hours=None if rows else hours,
        last_rows=rows or None,
        model_version=model_version,
    )


def report(reference: str, current: Window, output: Path, keep: Keep, limits: Thresholds | None = None) -> DriftReport:
    """Compare a window with a reference file, write the report to `output` and keep it.

    A window that cannot be judged gives a report that says so, and no drift. Raises WindowError when the reference
    cannot be read.
    """
    from monitoring import drift, publish  # Evidently and MLflow take many seconds to import

    limits = limits or thresholds.load()
    compared = compare(from_file(reference, limits.window.reference_rows), current, limits)
    drift.write(compared, output, keep.workspace)
    if keep.history:
        History(keep.history).add_report(compared.report, datetime.now(UTC))
    if keep.mlflow:
        publish.to_mlflow(compared.report, output, keep.mlflow)
    return compared.report


def decide(history: str, limits: Thresholds | None = None) -> Decision:
    """Decide on the kept reports and keep the decision."""
    kept = History(history)
    decision = policy.decide(
        kept.reports(),
        (limits or thresholds.load()).policy,
        now=datetime.now(UTC),
        last_retraining=kept.last_retraining(),
    )
    kept.add_decision(decision)
    return decision


def labelled_rows(window: Window, url: str) -> str:
    """Write the window's labelled rows as training data to `url`; return it, or "" when there are none to train on."""
    return url if write_labelled(window, url) else ""


def alert(decision: Decision, webhook: str, shape: str, report_url: str = "") -> None:
    """Post a decision other than OK to the webhook, if one is named. Raises AlertError when it was not delivered."""
    if webhook and decision.action != "OK":
        alerts.send(webhook, decision, shape, report_url)
