"""Compares a current window with a reference window: checks both, measures every detector and gives a verdict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from monitoring.drift import detectors
from monitoring.drift.drift_report import DriftReport, Status
from monitoring.drift.languages import language_alarm
from monitoring.drift.performance import MacroF1, expected_accuracy, macro_f1, smallest_fall
from monitoring.drift.reference_mix import with_matching_mix
from monitoring.drift_thresholds import PerformanceLimits, Thresholds
from monitoring.windows.label_store import training_rows
from monitoring.windows.window import Window

MATCHING_EFFECT: Final = 2
"""A sample of the reference in the current mix counts as so many times fewer rows for the thresholds. The domain of a
text is predicted, so the sample is not quite of the current mix: in simulated years, scores without drift reached 1.3
times the threshold for the whole number of rows."""


@dataclass(frozen=True)
class Comparison:
    """A report and the two samples that it was made from, for the plots."""

    report: DriftReport
    reference: pd.DataFrame
    """Sample of the reference window, with domain scores if it has texts."""
    current: pd.DataFrame
    """Sample of the current window, with domain scores if it has texts."""


Refusal = tuple[Status, list[str]]
"""Why windows are not judged: a status and reasons."""
Check = Callable[[Window, Window], Refusal | None]
"""Checks a reference and a current window."""


def compare(reference: Window, current: Window, thresholds: Thresholds, check: Check | None = None) -> Comparison:
    """Check both windows, measure every detector and give a verdict. `check` replaces `check_windows`.

    Example: `compare(reference, current, drift_thresholds.load()).report.drift`.
    """
    refusal = _too_few_rows(reference, current, thresholds) or (check or check_windows)(reference, current)
    if refusal:
        status, reasons = refusal
        return Comparison(_report(reference, current, status, False, reasons), reference.frame, current.frame)
    numbers = _with_numbers(current.frame)
    matched = with_matching_mix(_with_numbers(reference.frame), numbers)
    frames = detectors.with_text_scores(matched, numbers)
    matching = 1 if len(matched) == len(reference.frame) else MATCHING_EFFECT
    rows = max(1, len(frames[0]) // matching), len(frames[1])
    measurements = detectors.judge(detectors.scores(*frames), thresholds, rows)
    minimum = thresholds.window.min_labelled_rows
    before = macro_f1(reference.random_part if len(matched) == len(reference.frame) else matched, minimum)
    now = macro_f1(current.random_part, minimum)
    reasons = [str(measurement) for measurement in measurements if measurement.alarm]
    reasons += language_alarm(reference.frame, current.frame)
    reasons += _fall(before, now, thresholds.performance)
    expected = None if reasons else expected_accuracy(matched, current.frame, minimum)
    report = _report(
        reference,
        current,
        "judged",
        bool(reasons),
        reasons or ["every detector stays below its threshold"],
        reference_rows=len(matched),
        measurements=tuple(measurements),
        macro_f1_reference=before.value if before else None,
        macro_f1_current=now.value if now else None,
        macro_f1_interval=now.interval if now else None,
        expected_accuracy=expected.value if expected else None,
        expected_accuracy_interval=expected.interval if expected else None,
    )
    return Comparison(report, *frames)


def _fall(before: MacroF1 | None, now: MacroF1 | None, limits: PerformanceLimits) -> list[str]:
    """Return the reason for an alarm if macro-F1 fell by more than the limit, beyond what chance explains."""
    if before is None or now is None:
        return []
    fall = smallest_fall(before, now, limits.confidence)
    if fall <= limits.max_macro_f1_drop:
        return []
    return [
        f"macro-F1 fell from {before.value:.3f} to {now.value:.3f} on {now.rows} labelled rows chosen at random: with "
        f"{limits.confidence:.0%} confidence by more than {fall:.3f}, where {limits.max_macro_f1_drop:.2f} is allowed"
    ]


def _too_few_rows(reference: Window, current: Window, thresholds: Thresholds) -> Refusal | None:
    minimum = thresholds.window.min_rows
    reasons = [
        f"the {role} window {window.name} has {len(window.frame)} rows; at least {minimum} are needed for a verdict"
        for role, window in (("reference", reference), ("current", current))
        if len(window.frame) < minimum
    ]
    return ("too_few_rows", reasons) if reasons else None


def check_windows(reference: Window, current: Window) -> Refusal | None:
    """Check both windows with Great Expectations; return why they cannot be judged, or None."""
    from feature_checks.expectations.windows import check_window  # Great Expectations takes seconds to import

    reasons = [
        f"the {role} window {window.name} failed its check: {failure}"
        for role, window in (("reference", reference), ("current", current))
        for failure in check_window(window.frame).failures
    ]
    return ("invalid", reasons) if reasons else None


def _with_numbers(frame: pd.DataFrame) -> pd.DataFrame:
    """Convert the numeric columns of a checked window to numbers: a file may hold them as text."""
    names = [detector.column for detector in detectors.DETECTORS if detector.method == "wasserstein_normed"]
    present = [name for name in names if name in frame.columns]
    return frame.assign(**{name: pd.to_numeric(frame[name]).astype(float) for name in present})


def _report(
    reference: Window, current: Window, status: Status, drift: bool, reasons: list[str], **measured: Any
) -> DriftReport:
    names = [measurement.detector for measurement in measured.get("measurements", ())]
    unknown: dict[str, Any] = {
        "reference_rows": len(reference.frame),
        "measurements": (),
        "macro_f1_reference": None,
        "macro_f1_current": None,
    }
    return DriftReport(
        window=current.name,
        reference=reference.name,
        status=status,
        drift=drift,
        reasons=tuple(reasons),
        not_measured=tuple(detector.name for detector in detectors.DETECTORS if detector.name not in names),
        current_rows=len(current.frame),
        reference_total=reference.total_rows,
        current_total=current.total_rows,
        labelled_rows=len(current.labelled),
        model_versions=current.model_versions,
        model_version=current.model_version,
        start=current.start,
        end=current.end,
        trainable_rows=len(training_rows(current.labelled)),
        damaged_lines=reference.damaged_lines + current.damaged_lines,
        **(unknown | measured),
    )
