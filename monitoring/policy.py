"""Decides on the history of reports: RETRAIN, WATCH or OK, with reasons. `decide` reads no clock and no files.

Retraining needs all of the following. A window that could not be judged never leads to retraining.

1. k of the last n judged windows of the current champion show drift, and the newest window is one of them. Windows of
   an older champion do not count, nor does a window that overlaps a later one.
2. Enough windows were judged since the outcome of the last retraining.
3. There are enough new labels to train on; many more than before if the last candidate was not promoted.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from math import ceil
from pathlib import Path
from typing import Any, Literal

from monitoring.drift.drift_report import DriftReport
from monitoring.drift_thresholds import PolicyLimits

Action = Literal["RETRAIN", "WATCH", "OK"]


@dataclass(frozen=True)
class Decision:
    """What to do, and why."""

    action: Action
    """`RETRAIN`, `WATCH` (a person should look) or `OK`."""
    reasons: tuple[str, ...]
    """Why, one sentence each."""
    windows: tuple[str, ...]
    """Names of the windows that were considered, oldest first."""
    decided_at: str
    """Time of the decision (UTC, ISO 8601)."""
    newest: str = ""
    """Name of the newest window, judged or not; empty if there was no window."""
    run: str = ""
    """Identifier of the pipeline run that decided; empty outside a pipeline."""
    stored_labels: int = 0
    """Number of labelled rows in the label store at the time of the decision."""

    def to_dict(self) -> dict[str, Any]:
        """Return the decision as JSON types."""
        return asdict(self)

    def save(self, path: Path) -> None:
        """Write the decision as JSON."""
        path.write_text(json.dumps(self.to_dict(), indent=2), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Decision:
        """Read a decision that `save` wrote."""
        return cls.from_dict(json.loads(path.read_text(encoding="utf-8")))

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Decision:
        """Return the decision that `to_dict` returned, also after JSON."""
        return cls(**(content | {name: tuple(content[name]) for name in ("reasons", "windows")}))


@dataclass(frozen=True)
class Retraining:
    """The last retraining, as far as the policy needs it."""

    newest: str
    """Newest window at the outcome, or at the decision while the outcome is unknown. Windows after it count."""
    stored_labels: int = 0
    """Number of rows in the label store at the decision."""
    refused: bool = False
    """Whether the candidate was not promoted. Much the same labels would be refused again."""


def decide(
    history: Sequence[DriftReport],
    limits: PolicyLimits,
    *,
    now: datetime,
    last_retraining: Retraining | None = None,
    stored_labels: int = 0,
    run: str = "",
) -> Decision:
    """Decide on a history of reports, oldest first. Of several reports on one window the last one counts.

    `stored_labels`: number of rows in the label store, which also holds labels that arrived after their window was
    judged.

    Example: `decide(history.reports(), drift_thresholds.load().policy, now=datetime.now(UTC)).action`.
    """
    reports = list({report.window: report for report in history}.values())
    judged = _votes(reports)
    recent = judged[-limits.windows :]
    action, reasons = _verdict(reports, recent, limits)
    if action == "RETRAIN":
        since = _since(reports, judged, last_retraining)
        labels = _new_labels(since, last_retraining, stored_labels)
        refusal = _in_cooldown(since, limits, last_retraining) or _too_few_labels(labels, limits, last_retraining)
        action, reasons = ("WATCH", [*reasons, refusal]) if refusal else (action, reasons)
    return Decision(
        action,
        tuple(reasons),
        tuple(report.window for report in recent),
        now.isoformat(),
        newest=reports[-1].window if reports else "",
        run=run,
        stored_labels=stored_labels,
    )


def _votes(reports: Sequence[DriftReport]) -> list[DriftReport]:
    """Return the judged windows of the newest champion, oldest first, without those that overlap a later one."""
    votes: list[DriftReport] = []
    for report in reversed(reports):
        if report.status != "judged" or report.model_version != reports[-1].model_version:
            continue
        if not (votes and report.end and report.end > votes[-1].start):
            votes.append(report)
    return votes[::-1]


def _verdict(
    reports: Sequence[DriftReport], recent: Sequence[DriftReport], limits: PolicyLimits
) -> tuple[Action, list[str]]:
    if not reports:
        return "OK", ["there is no report yet"]
    newest = reports[-1]
    if newest.status != "judged":
        return "WATCH", [f"the newest window {newest.window} was not judged", *newest.reasons]
    alarms = [report for report in recent if report.drift]
    count = f"{len(alarms)} of the last {len(recent)} judged windows show drift"
    if len(recent) == 1:
        count = "it is the only judged window so far"
    if not newest.drift:
        return ("WATCH" if alarms else "OK"), [f"the newest window {newest.window} shows no drift", count]
    reasons = [f"the newest window {newest.window} shows drift: {'; '.join(newest.reasons)}", count]
    if len(alarms) < limits.alarms:
        return "WATCH", [*reasons, f"retraining needs {limits.alarms} of the last {limits.windows}"]
    return "RETRAIN", [
        *reasons,
        f"retraining needs {limits.alarms} of the last {limits.windows}, the newest one included",
    ]


def _since(
    reports: Sequence[DriftReport], judged: Sequence[DriftReport], last_retraining: Retraining | None
) -> list[DriftReport]:
    """Return the judged windows after the last retraining."""
    names = [report.window for report in reports]
    if last_retraining is None or last_retraining.newest not in names:
        return list(judged)
    later = names[names.index(last_retraining.newest) + 1 :]
    return [report for report in judged if report.window in later]


def _in_cooldown(since: Sequence[DriftReport], limits: PolicyLimits, last_retraining: Retraining | None) -> str:
    if last_retraining is None or len(since) >= limits.cooldown_windows:
        return ""
    return (
        f"windows judged since the last retraining (window {last_retraining.newest}): {len(since)}; "
        f"another retraining needs {limits.cooldown_windows}"
    )


def _new_labels(since: Sequence[DriftReport], last_retraining: Retraining | None, stored_labels: int) -> int:
    stored_before = last_retraining.stored_labels if last_retraining else 0
    return max(sum(report.trainable_rows for report in since), stored_labels - stored_before)


def _too_few_labels(labels: int, limits: PolicyLimits, last_retraining: Retraining | None) -> str:
    needed, why = limits.min_new_labels, ""
    if last_retraining and last_retraining.refused:
        needed = max(needed, ceil(limits.label_growth_after_refusal * last_retraining.stored_labels))
        why = f" after a candidate of {last_retraining.stored_labels} labels was not promoted"
    if labels >= needed:
        return ""
    return (
        f"there are {labels} new labelled texts; retraining needs {needed}{why}: please label the rows "
        "that the monitoring run asks for"
    )
