"""Evidence over weeks that a small shift lasts: one window is too small to show it, several together are not.

Under no drift, the score of a detector varies around a level that belongs to the reference window of the champion. The
level is estimated from the champion's earlier windows of the same kind, together with what calibration says about it,
and each new score is expressed as its distance z from the estimate, in standard deviations. Without drift z is normal
with the mean 0, so that exp(λz − λ²/2) has the mean 1: a bet at fair odds that pays if scores rise. The evidence
multiplies the payouts and starts again at 1 whenever it falls below (an e-detector: Shin, Ramdas & Rinaldo,
*E-detectors*, 2024). Without drift it reaches a threshold of N in less than one of N windows on average. A single
window counts at most MAX_Z standard deviations, so that only a lasting shift reaches the threshold.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import exp, hypot, sqrt
from typing import Final

from monitoring.drift.drift_report import DriftReport
from monitoring.drift_thresholds import Thresholds

BETS: Final = (0.5, 1.0, 2.0)
"""Shifts, in standard deviations of one window, that the evidence is prepared for. It is the mean over them."""
MAX_Z: Final = 3.0
SAME_PART: Final = sqrt(1.3)
"""Largest ratio between the spreads of two levels that count as one: parts of the reference of 100 and of 130 rows."""


@dataclass(frozen=True)
class Score:
    """One window's score, and the standard deviations that calibration expects at its sizes."""

    value: float
    window_spread: float
    """Standard deviation between windows that are compared with one reference window."""
    reference_spread: float
    """Standard deviation, between reference windows, of the level of all scores."""


def evidence_of(scores: Iterable[Score], null: float) -> float:
    """Return the evidence for a lasting rise after the last of these scores, oldest first; 1 is no evidence.

    Example: `evidence_of([Score(0.01, 0.05, 0.1), Score(0.2, 0.05, 0.1)], null=0.0)`.
    """
    capital, earlier = dict.fromkeys(BETS, 1.0), list[Score]()
    for score in scores:
        alike = [entry for entry in earlier if _same_level(entry, score)]
        prior = 1 / score.reference_spread**2
        precision = prior + sum(1 / entry.window_spread**2 for entry in alike)
        mean = (prior * null + sum(entry.value / entry.window_spread**2 for entry in alike)) / precision
        deviation = sqrt(1 / precision + score.window_spread**2)
        z = min((score.value - mean) / deviation, MAX_Z)
        capital = {bet: max(1.0, value) * exp(bet * z - bet**2 / 2) for bet, value in capital.items()}
        earlier.append(score)
    return sum(capital.values()) / len(capital)


def _same_level(one: Score, other: Score) -> bool:
    """Return whether two windows were compared with much the same part of the reference window.

    Where the traffic moves between domains of the champion, another part of the reference window is compared, and the
    scores have another level (see `reference_mix`). The spread of the level shows the size of the part.
    """
    ratio = one.reference_spread / other.reference_spread
    return 1 / SAME_PART <= ratio <= SAME_PART


def with_evidence(earlier: Sequence[DriftReport], report: DriftReport, thresholds: Thresholds) -> DriftReport:
    """Return the report with the evidence from it and from the champion's earlier windows; enough of it is drift.

    `earlier`: all kept reports, oldest first. Windows of another champion or reference, windows that were not judged
    and windows that overlap a later one do not count, so a new champion starts without evidence.

    Example: `with_evidence(history.reports(), comparison.report, thresholds).sustained`.
    """
    limits = thresholds.sustained
    windows = [*_same_champion(earlier, report), report]
    scores = [score for entry in windows if (score := _score(entry, thresholds)) is not None]
    if report.status != "judged" or _score(report, thresholds) is None:
        return report
    evidence = round(evidence_of(scores, thresholds.detectors[limits.detector].null), 3)
    judged = replace(report, sustained=evidence, sustained_threshold=limits.threshold)
    if evidence < limits.threshold:
        return judged
    reason = (
        f"sustained drift: {limits.detector} has risen above the level of this champion's earlier windows; the "
        f"evidence from {len(scores)} windows, {evidence:,.1f}, reaches its threshold {limits.threshold:,.0f}"
    )
    reasons = (*(report.reasons if report.drift else ()), reason)
    return replace(judged, drift=True, reasons=reasons, expected_accuracy=None, expected_accuracy_interval=None)


def _same_champion(earlier: Sequence[DriftReport], report: DriftReport) -> list[DriftReport]:
    """Return the judged windows before the report's, oldest first, that were compared with the same reference."""
    kept: list[DriftReport] = []
    start = report.start
    for entry in reversed(earlier):
        same = (entry.model_version, entry.reference) == (report.model_version, report.reference)
        if entry.window == report.window or not same or entry.status != "judged":
            continue
        if not (start and entry.end and entry.end > start):
            kept.append(entry)
            start = entry.start
    return kept[::-1]


def _score(report: DriftReport, thresholds: Thresholds) -> Score | None:
    limits, sizes = thresholds.sustained, thresholds.window
    for measurement in report.measurements:
        if measurement.detector == limits.detector:
            level = limits.reference_spread * sqrt(sizes.reference_rows / report.reference_rows)
            # Each window is compared with a sample of its own if the champion has several domains; samples of all rows
            # do not differ.
            left_out = 1 - report.reference_rows / min(report.reference_total, sizes.reference_rows)
            window = limits.window_spread * sqrt(sizes.current_rows / report.current_rows)
            return Score(measurement.score, hypot(window, level * sqrt(max(left_out, 0.0))), level)
    return None
