"""The sections of the site that draw values over time: detector scores and macro-F1."""

from __future__ import annotations

from collections.abc import Sequence
from math import log10
from typing import Final

from monitoring.drift.drift_report import DriftReport
from monitoring.pages.document import Html, escape, folded, paragraph, table, tag
from monitoring.pages.plots import Point, series

_TICK_CHARS: Final = 20
"""The longest label at either end of the axis of a plot; two of them fit side by side."""


def detectors(reports: Sequence[DriftReport]) -> list[Html]:
    """Return a plot for each detector, and the scores as a table."""
    names = list(dict.fromkeys(measured.detector for report in reports for measured in report.measurements))
    if not names:
        return [paragraph("No window has been measured.")]
    plots = "".join([*(_detector_plot(name, reports) for name in names), *_evidence_plot(reports)])
    rows = [(report.window, *(_score_of(report, name) for name in names)) for report in reports if report.measurements]
    return [
        Html(f'<div class="plots">{plots}</div>'),
        folded("The scores as a table", table("Detector scores", ("Window", *names), rows)),
    ]


def _detector_plot(name: str, reports: Sequence[DriftReport]) -> Html:
    measured = [
        (report, measurement)
        for report in reports
        for measurement in report.measurements
        if measurement.detector == name
    ]
    points = [
        Point(report.window, measurement.score, measurement.threshold, measurement.alarm, tick=_tick(report))
        for report, measurement in measured
    ]
    alarms = sum(point.alarm for point in points)
    caption = f"{_counted(alarms, 'alarm')} in {_counted(len(points), 'window')}"
    return series(name, points, caption, breaks=_version_changes([report for report, _ in measured]))


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _evidence_plot(reports: Sequence[DriftReport]) -> list[Html]:
    """Return the plot of the evidence for a shift that lasts, as powers of ten, if it was measured."""
    measured = [
        (report, log10(max(report.sustained, 0.1)), log10(report.sustained_threshold))
        for report in reports
        if report.sustained is not None and report.sustained_threshold is not None
    ]
    if not measured:
        return []
    points = [
        Point(report.window, value, threshold, report.is_sustained, tick=_tick(report))
        for report, value, threshold in measured
    ]
    caption = "for a small shift that lasts, over the windows of one champion, in powers of ten"
    return [series("evidence", points, caption, breaks=_version_changes([report for report, *_ in measured]))]


def _version_changes(reports: Sequence[DriftReport]) -> list[int]:
    """Return the positions at which another model version starts."""
    versions = [report.model_versions for report in reports]
    return [index for index in range(1, len(versions)) if versions[index] != versions[index - 1]]


def _score_of(report: DriftReport, detector: str) -> Html:
    for measurement in report.measurements:
        if measurement.detector == detector:
            return tag("bad", f"{measurement.score:.3f}") if measurement.alarm else escape(f"{measurement.score:.3f}")
    return escape("not measured")


def performance(reports: Sequence[DriftReport]) -> list[Html]:
    """Return the plot of macro-F1 over the labelled windows, and the values as a table."""
    labelled = [(report, value) for report in reports if (value := report.macro_f1_current) is not None]
    if not labelled:
        return [paragraph("No window has enough labels to measure macro-F1.")]
    breaks = _version_changes([report for report, _ in labelled])
    points = [_macro_f1_point(report, value) for report, value in labelled]
    caption = "of labelled predictions chosen at random, with 95 % intervals"
    rows = [
        (
            report.window,
            versions(report),
            report.labelled_rows,
            "unknown" if report.macro_f1_reference is None else report.macro_f1_reference,
            value,
            _interval(report),
        )
        for report, value in labelled
    ]
    columns = ("Window", "Model version", "Labels", "Macro-F1 of the reference", "Macro-F1", "95 % interval")
    return [
        Html(f'<div class="plots">{series("macro-F1", points, caption, breaks=breaks)}</div>'),
        folded("The values as a table", table("Macro-F1 by window", columns, rows)),
    ]


def accuracy(reports: Sequence[DriftReport]) -> list[Html]:
    """Return the plot of the expected accuracy over the windows that have it, and for every window why or why not."""
    rows = [(report.window, versions(report), report.accuracy_in_words) for report in reports]
    values = folded("The values as a table", table("Expected accuracy by window", ("Window", "Version", "Value"), rows))
    known = [(report, value) for report in reports if (value := report.expected_accuracy) is not None]
    if not known:
        return [paragraph("No window has an expected accuracy."), values]
    points = [_accuracy_point(report, value) for report, value in known]
    caption = "from calibrated confidence, with 95 % intervals; withheld where drift was found"
    plot = series("accuracy", points, caption, breaks=_version_changes([report for report, _ in known]))
    return [Html(f'<div class="plots">{plot}</div>'), values]


def _accuracy_point(report: DriftReport, value: float) -> Point:
    low, high = report.expected_accuracy_interval or (None, None)
    return Point(report.window, value, low=low, high=high, tick=_tick(report))


def _macro_f1_point(report: DriftReport, value: float) -> Point:
    low, high = report.macro_f1_interval or (None, None)
    return Point(report.window, value, low=low, high=high, tick=_tick(report))


def _tick(report: DriftReport) -> str:
    """Return the date of a window's end, or the name of a file, cut to the space under a plot."""
    if report.end:
        return report.end[:10]
    return report.window if len(report.window) <= _TICK_CHARS else f"{report.window[: _TICK_CHARS - 1]}…"


def _interval(report: DriftReport) -> str:
    return "{:.3f} to {:.3f}".format(*report.macro_f1_interval) if report.macro_f1_interval else "unknown"


def versions(report: DriftReport) -> str:
    """Return the model versions that a report covers, as text."""
    return ", ".join(report.model_versions) or "unknown"
