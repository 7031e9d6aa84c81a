"""The detectors' thresholds and the policy's limits as typed values, read from thresholds.toml beside this file."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from typing import Final

DEFAULT: Final = Path(__file__).with_suffix(".toml")


class ThresholdsError(ValueError):
    """A thresholds file that cannot be used: which name, what was found, what would be right."""


@dataclass(frozen=True)
class WindowLimits:
    """Sizes of the windows, in rows. Larger ones are sampled down to the sizes that were calibrated."""

    reference_rows: int
    current_rows: int
    min_rows: int
    """A window with fewer rows is not judged."""
    min_labelled_rows: int
    """Macro-F1 is compared when both windows have at least as many true labels."""


@dataclass(frozen=True)
class DetectorThreshold:
    """An alarm is a score of `null + margin` or more, at the calibrated sizes."""

    null: float
    """The score of two samples that cannot be told apart."""
    margin: float


@dataclass(frozen=True)
class PolicyLimits:
    """When drift leads to retraining."""

    windows: int
    """n: how many of the latest windows count."""
    alarms: int
    """k: how many of them, the newest among them, must show drift."""
    cooldown_hours: float
    """No retraining for so long after one."""


@dataclass(frozen=True)
class Thresholds:
    """Everything in thresholds.toml that is compared with."""

    window: WindowLimits
    detectors: Mapping[str, DetectorThreshold]
    max_macro_f1_drop: float
    policy: PolicyLimits

    def of(self, detector: str, reference_rows: int, current_rows: int) -> float:
        """Return the alarm threshold of a detector for windows of these sizes.

        The spread of every two-sample statistic used here shrinks with sqrt(1/n + 1/m), so the margin does too.
        """
        limits = self.detectors[detector]
        return limits.null + limits.margin * self.spread_ratio(reference_rows, current_rows)

    def spread_ratio(self, reference_rows: int, current_rows: int) -> float:
        """Return how much wider scores spread in windows of these sizes than in the calibrated ones."""
        calibrated = 1 / self.window.reference_rows + 1 / self.window.current_rows
        return sqrt((1 / reference_rows + 1 / current_rows) / calibrated)


def load(path: Path = DEFAULT) -> Thresholds:
    """Read the thresholds. Raises ThresholdsError naming an unknown or missing name."""
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    try:
        return Thresholds(
            window=WindowLimits(**content["window"]),
            detectors={
                name: DetectorThreshold(entry["null"], entry["margin"]) for name, entry in content["detectors"].items()
            },
            max_macro_f1_drop=content["performance"]["max_macro_f1_drop"],
            policy=PolicyLimits(**content["policy"]),
        )
    except (KeyError, TypeError) as error:
        raise ThresholdsError(f"{path}: {error}; expected the names of {DEFAULT.name}") from error
