"""History of reports → RETRAIN | WATCH | OK, with reasons. `decide` is pure: no clock, no files.

Retraining needs k of the last n judged windows with drift, the newest among them, and no retraining within the
cooldown. Windows that could not be judged never lead to retraining.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from monitoring.report import DriftReport
from monitoring.thresholds import PolicyLimits

Action = Literal["RETRAIN", "WATCH", "OK"]


@dataclass(frozen=True)
class Decision:
    """What to do, why, and on which windows it rests."""

    action: Action
    reasons: tuple[str, ...]
    windows: tuple[str, ...]
    """Names of the windows considered, oldest first."""
    decided_at: str
    """UTC, ISO 8601."""

    def to_dict(self) -> dict[str, Any]:
        """Return the decision as JSON types."""
        return asdict(self)

    def save(self, path: Path) -> None:
        """Write the decision as JSON."""
        path.write_text(json.dumps(self.to_dict(), indent=2), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Decision:
        """Read what `save` wrote."""
        content = json.loads(path.read_text(encoding="utf-8"))
        return cls(**(content | {name: tuple(content[name]) for name in ("reasons", "windows")}))


def decide(
    history: Sequence[DriftReport], limits: PolicyLimits, *, now: datetime, last_retraining: datetime | None = None
) -> Decision:
    """Decide on a history of reports, oldest first; of several reports on one window the last one counts."""
    reports = list({report.window: report for report in history}.values())
    recent = [report for report in reports if report.status == "judged"][-limits.windows :]
    action, reasons = _judge(reports, recent, limits, now, last_retraining)
    return Decision(action, tuple(reasons), tuple(one.window for one in recent), now.isoformat(timespec="seconds"))


def _judge(
    reports: Sequence[DriftReport],
    recent: Sequence[DriftReport],
    limits: PolicyLimits,
    now: datetime,
    last_retraining: datetime | None,
) -> tuple[Action, list[str]]:
    if not reports:
        return "OK", ["there is no report yet"]
    newest = reports[-1]
    if newest.status != "judged":
        return "WATCH", [f"the newest window {newest.window} was not judged", *newest.reasons]
    alarms = [report for report in recent if report.drift]
    count = f"{len(alarms)} of the last {len(recent)} judged windows show drift"
    if not newest.drift:
        return ("WATCH" if alarms else "OK"), [f"the newest window {newest.window} shows no drift", count]
    why = [f"the newest window {newest.window} shows drift: {'; '.join(newest.reasons)}", count]
    if len(alarms) < limits.alarms:
        return "WATCH", [*why, f"retraining needs {limits.alarms} of the last {limits.windows}"]
    if last_retraining and now - last_retraining < timedelta(hours=limits.cooldown_hours):
        since = f"{last_retraining.isoformat(timespec='seconds')}, less than {limits.cooldown_hours:g} hours ago"
        return "WATCH", [*why, f"the last retraining was decided at {since}"]
    return "RETRAIN", [*why, f"retraining needs {limits.alarms} of the last {limits.windows}, the newest among them"]
