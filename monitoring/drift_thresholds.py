"""Thresholds of the detectors and limits of the policy as typed values, read from drift_thresholds.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from typing import Final

DEFAULT: Final = Path(__file__).with_suffix(".toml")


class ThresholdsError(ValueError):
    """A thresholds file cannot be used. The message names the entry and what was expected."""


@dataclass(frozen=True)
class WindowLimits:
    """Sizes of the windows, in rows. Larger windows are sampled down to the calibrated sizes."""

    reference_rows: int
    """Rows of the reference window for which the margins were calibrated."""
    current_rows: int
    """Rows of the current window for which the margins were calibrated."""
    min_rows: int
    """A window with fewer rows is not judged."""
    min_labelled_rows: int
    """Macro-F1 is compared only if both windows have at least this many true labels among rows chosen at random."""
    random_rows: int
    """Number of rows of a window that are chosen at random to be labelled."""


@dataclass(frozen=True)
class DetectorThreshold:
    """At the calibrated sizes, a score of `null + margin` or more is an alarm."""

    null: float
    """Score of two samples of the same distribution."""
    margin: float
    """Distance of the threshold from `null`, chosen by calibration."""


@dataclass(frozen=True)
class PerformanceLimits:
    """The condition under which a fall of macro-F1 is drift."""

    max_macro_f1_drop: float
    """A larger fall is an alarm."""
    confidence: float
    """Probability with which the true fall must be larger than `max_macro_f1_drop`."""


@dataclass(frozen=True)
class SustainedLimits:
    """How evidence for a small shift is added up over windows; see `drift.sustained`."""

    detector: str
    """Detector whose scores are added up."""
    threshold: float
    """Evidence of this size or more is drift. Without drift, less than one of `threshold` windows reaches it."""
    window_spread: float
    """Standard deviation of the score between windows of `current_rows` rows, against one reference window."""
    reference_spread: float
    """Standard deviation of the mean score between reference windows of `reference_rows` rows."""


@dataclass(frozen=True)
class PolicyLimits:
    """The conditions under which drift leads to retraining."""

    windows: int
    """Number n of the newest judged windows that are considered."""
    alarms: int
    """Number k of these windows that must show drift, the newest one included."""
    cooldown_windows: int
    """Number of windows that must be judged after the outcome of a retraining before there is another one."""
    min_new_labels: int
    """Number of new labelled rows with a text that a retraining needs."""
    label_growth_after_refusal: float
    """After a candidate that was not promoted, the new labels must be this multiple of all that it was trained on."""


@dataclass(frozen=True)
class FeedbackLimits:
    """Which labels from feedback are kept out of training until a person has looked at them."""

    max_user_labels: int
    """Number of labels of one user and day (UTC) that count."""
    min_user_labels: int
    """A user with fewer labels is not compared with the others."""
    max_excess: float
    """A user's labels may contradict the predictions more often than those of all others by this share at most."""
    unconfirmed_confidence: float
    """A label that contradicts a prediction of this confidence, or a higher one, needs a second user."""


@dataclass(frozen=True)
class Thresholds:
    """The content of drift_thresholds.toml."""

    window: WindowLimits
    detectors: Mapping[str, DetectorThreshold]
    performance: PerformanceLimits
    sustained: SustainedLimits
    policy: PolicyLimits
    feedback: FeedbackLimits

    def of(self, detector: str, reference_rows: int, current_rows: int) -> float:
        """Return the alarm threshold of a detector for windows of these sizes.

        The spread of every two-sample statistic used here is proportional to sqrt(1/n + 1/m), and so is the margin.
        """
        limits = self.detectors[detector]
        return limits.null + limits.margin * self.spread_ratio(reference_rows, current_rows)

    def spread_ratio(self, reference_rows: int, current_rows: int) -> float:
        """Return the ratio between the spread of scores at these sizes and their spread at the calibrated sizes."""
        calibrated = 1 / self.window.reference_rows + 1 / self.window.current_rows
        return sqrt((1 / reference_rows + 1 / current_rows) / calibrated)


def load(path: Path = DEFAULT) -> Thresholds:
    """Read the thresholds. Raises ThresholdsError if a name is unknown or missing."""
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    try:
        return Thresholds(
            window=WindowLimits(**content["window"]),
            detectors={
                name: DetectorThreshold(entry["null"], entry["margin"]) for name, entry in content["detectors"].items()
            },
            performance=PerformanceLimits(**content["performance"]),
            sustained=SustainedLimits(**content["sustained"]),
            policy=PolicyLimits(**content["policy"]),
            feedback=FeedbackLimits(**content["feedback"]),
        )
    except (KeyError, TypeError) as error:
        raise ThresholdsError(f"{path}: {error}; expected the names of {DEFAULT.name}") from error
