"""The verdict of a report in words, for pages."""

from __future__ import annotations

from monitoring.drift.drift_report import DriftReport
from monitoring.pages.document import State


def verdict_of(report: DriftReport) -> tuple[State, str]:
    """Return the verdict as a state and as a sentence."""
    if report.status == "too_few_rows":
        return "watch", "Not judged: too few rows"
    if report.status == "invalid":
        return "watch", "Not judged: a window failed its check"
    if report.is_sustained and not any(measurement.alarm for measurement in report.measurements):
        return "bad", "Sustained drift: a small difference from the reference window has lasted for several windows"
    if report.drift:
        return "bad", "Drift: this window differs from the reference window"
    return "good", "No drift: this window is like the reference window"
