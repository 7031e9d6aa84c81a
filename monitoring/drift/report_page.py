"""The drift report as a page: the verdict in words, a table and plots of the detectors, and Evidently's report."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from feature_checks.contract import LABELS
from monitoring.drift import detectors
from monitoring.drift.comparison import Comparison
from monitoring.drift.detectors import Detector, Measurement
from monitoring.drift.drift_report import HTML_FILE, DriftReport
from monitoring.drift.verdicts import verdict_of
from monitoring.pages.document import Html, document, folded, heading, items, paragraph, table, tag, verdict
from monitoring.pages.plots import bars

BINS: Final = 20

Edges = NDArray[np.float64]


def write_report(comparison: Comparison, folder: Path, workspace: str = "") -> Path:
    """Write report.html, report.json and (for a judged window) evidently.json; return the path of report.html.

    If `workspace` is given (a folder or the URL of a running Evidently), the report is also added to it. The page needs
    no network and holds no review text.

    Example: `write_report(compare(reference, current, thresholds), Path("report"))`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    comparison.report.save(folder)
    path = folder / HTML_FILE
    path.write_text(document("Drift report", *_sections(comparison, folder, workspace)), encoding="utf-8")
    return path


def _sections(comparison: Comparison, folder: Path, workspace: str) -> list[Html]:
    report = comparison.report
    sections = [verdict(*verdict_of(report)), items(report.reasons), _facts(report)]
    if not report.measurements:
        return sections
    from monitoring.drift import evidently_report  # Evidently takes many seconds to import

    interactive = html.escape(evidently_report.interactive_report(comparison, folder, workspace))
    return [
        *sections,
        heading("Detectors"),
        paragraph(
            "Each detector compares one column of the two windows. A score at or above its threshold is an alarm."
        ),
        _detector_table(report),
        heading("Distributions"),
        paragraph("Grey bars show the reference window and blue bars the current window, as shares of their rows."),
        Html(f'<div class="plots">{"".join(_plots(comparison))}</div>'),
        heading("Interactive report"),
        folded(
            "Open Evidently's report",
            Html(f'<iframe title="Evidently\'s interactive report" loading="lazy" srcdoc="{interactive}"></iframe>'),
        ),
    ]


def _facts(report: DriftReport) -> Html:
    rows = [
        ("Current window", f"{report.window}: {report.current_rows} of {report.current_total} rows"),
        ("Reference window", f"{report.reference}: {report.reference_rows} of {report.reference_total} rows"),
        ("Model versions", ", ".join(report.model_versions) or "unknown"),
        ("Macro-F1 of the reference window", _score(report.macro_f1_reference)),
        ("Macro-F1 of the current window", f"{_score(report.macro_f1_current)} ({report.labelled_rows} labelled rows)"),
        ("Accuracy to expect without labels", report.accuracy_in_words),
        ("Evidence for a shift that lasts", _evidence(report)),
        ("Detectors without data", ", ".join(report.not_measured) or "none"),
        ("Damaged log lines", str(report.damaged_lines)),
    ]
    return table("Windows", ("Fact", "Value"), rows)


def _score(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"


def _evidence(report: DriftReport) -> str:
    if report.sustained is None or report.sustained_threshold is None:
        return "unknown"
    return f"{report.sustained:,.1f}, drift from {report.sustained_threshold:,.0f} on"


def _detector_table(report: DriftReport) -> Html:
    rows = [
        (
            measurement.detector,
            measurement.watches,
            measurement.method.replace("_", " "),
            measurement.score,
            measurement.threshold,
            tag("bad", "alarm") if measurement.alarm else tag("good", "no alarm"),
        )
        for measurement in report.measurements
    ]
    return table("Detectors", ("Detector", "Watches", "Method", "Score", "Threshold", "Result"), rows)


def _plots(comparison: Comparison) -> list[Html]:
    by_name = {detector.name: detector for detector in detectors.DETECTORS}
    return [
        _plot(comparison, by_name[measurement.detector], measurement) for measurement in comparison.report.measurements
    ]


def _plot(comparison: Comparison, detector: Detector, measurement: Measurement) -> Html:
    caption = f"score {measurement.score:.3f}, threshold {measurement.threshold:.3f}"
    before, now = (frame[detector.column] for frame in (comparison.reference, comparison.current))
    if detector.method == "jensen_shannon":
        return bars(detector.name, _class_shares(before), _class_shares(now), LABELS, caption)
    edges = _edges(before, now)
    labels = [f"{value:.3g}" for value in (edges[0], edges[len(edges) // 2], edges[-1])]
    return bars(detector.name, _bin_shares(before, edges), _bin_shares(now, edges), labels, caption)


def _class_shares(column: pd.Series[str]) -> list[float]:
    return [float((column == label).mean()) for label in LABELS]


def _bin_shares(column: pd.Series[float], edges: Edges) -> list[float]:
    counts, _ = np.histogram(np.clip(column, edges[0], edges[-1]), edges)
    return [float(share) for share in counts / len(column)]


def _edges(before: pd.Series[float], now: pd.Series[float]) -> Edges:
    """Return the edges of the bins. Values beyond the 99th percentile fall into the last bin."""
    both = np.concatenate([before, now])
    low, high = float(both.min()), float(np.quantile(both, 0.99))
    return np.linspace(low, max(high, low + 1e-6), BINS + 1)
