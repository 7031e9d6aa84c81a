"""Chooses the margins of the detectors from windows without drift."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from monitoring.calibration.partitions import partition, scores_of
from monitoring.drift import detectors
from monitoring.drift.detectors import Family
from monitoring.drift_thresholds import Thresholds
from monitoring.windows.window import WindowError

CALIBRATION_SEEDS: Final = range(1000, 1200)
TARGET_FALSE_ALARM_RATE: Final = 0.005


@dataclass(frozen=True)
class Calibration:
    """Margins at which at most the target share of the calibration windows alarms in any detector of the family."""

    family: Family
    """The detectors that were calibrated."""
    margins: Mapping[str, float]
    """Margin of each detector at the sizes in drift_thresholds.toml, for any size of the calibration windows."""
    spreads: float
    """Each alarm threshold is the detector's mean plus this number of standard deviations."""
    means: Mapping[str, float]
    """Mean score of each detector over the calibration windows."""
    standard_deviations: Mapping[str, float]
    """Standard deviation of each detector's score over the calibration windows."""
    false_alarms: int
    """Number of partitions that alarm at these margins."""
    partitions: int
    """Number of partitions that were measured."""
    reference_rows: int
    """Rows of each reference window."""
    current_rows: int
    """Rows of each current window."""


def calibrate(
    frame: pd.DataFrame,
    thresholds: Thresholds,
    family: Family,
    sizes: tuple[int, int],
    seeds: Sequence[int] = CALIBRATION_SEEDS,
    target: float = TARGET_FALSE_ALARM_RATE,
) -> Calibration:
    """Choose one number of standard deviations for all detectors of a family, so that at most `target` alarms.

    `frame` is what `read_reviews` returned; `sizes` are the rows of the reference and the current window.

    Example: `calibrate(read_reviews("reviews.parquet"), drift_thresholds.load(), "text", (1500, 500))`.
    """
    measured = pd.DataFrame([scores_of(*partition(frame, sizes, seed), family) for seed in seeds])
    largest = ((measured - measured.mean()) / measured.std()).max(axis=1)
    spreads = float(np.quantile(largest, 1 - target, method="higher"))
    names = [detector.name for detector in detectors.DETECTORS if detector.name in measured]
    means = {name: float(measured[name].mean()) for name in names}
    deviations = {name: float(measured[name].std()) for name in names}
    above_null = {name: means[name] + spreads * deviations[name] - thresholds.detectors[name].null for name in names}
    return Calibration(
        family=family,
        margins={name: margin / thresholds.spread_ratio(*sizes) for name, margin in above_null.items()},
        spreads=spreads,
        means=means,
        standard_deviations=deviations,
        false_alarms=int((largest > spreads).sum()),
        partitions=len(measured),
        reference_rows=sizes[0],
        current_rows=sizes[1],
    )


def write_margins(path: Path, calibration: Calibration) -> None:
    """Replace the margins in a thresholds file. Detectors that were not calibrated keep their margins.

    Raises WindowError if the file does not have exactly one line for a detector.
    """
    content = path.read_text(encoding="utf-8")
    for name, margin in calibration.margins.items():
        content, count = re.subn(
            rf"(?m)^({name} = {{ null = [0-9.]+, margin = )[0-9.]+( }})", rf"\g<1>{margin:.4f}\g<2>", content
        )
        if count != 1:
            raise WindowError(f"{path}: found {count} lines for the detector {name!r}; expected exactly one")
    path.write_text(content, encoding="utf-8")


def save(path: Path, calibration: Calibration) -> None:
    """Write a calibration as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(calibration), indent=2) + "\n", encoding="utf-8")
