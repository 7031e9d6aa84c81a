"""Thresholds of the text detectors for a champion's own data, measured when it is trained."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

import pandas as pd

from feature_checks.contract import GROUP_ID, TEXT
from feature_checks.splits import is_feedback
from monitoring import drift_thresholds
from monitoring.calibration import margins
from monitoring.calibration.margins import CALIBRATION_SEEDS, Calibration
from monitoring.windows.window import known_columns

THRESHOLDS_FILE: Final = "drift_thresholds.toml"
"""Name of the file beside a champion's reference window."""
REFERENCE_SHARE: Final = 0.6
CURRENT_SHARE: Final = 0.2


def write_thresholds(data: Path, output: Path, partitions: int) -> Calibration:
    """Calibrate the text detectors on `partitions` pairs of windows without drift, and write the thresholds file.

    The windows are cut by whole reviews from the data set at `data`, feedback left out. They are smaller than the
    project's windows if there are too few rows. Raises WindowError if no such windows can be cut.

    Example: `write_thresholds(Path("split.parquet"), Path("window") / THRESHOLDS_FILE, 200)`.
    """
    frame = pd.read_parquet(data)
    rows = frame[~is_feedback(frame)]
    reviews = known_columns(rows[[TEXT]]).assign(**{GROUP_ID: rows[GROUP_ID].astype(str).to_numpy()})
    thresholds = drift_thresholds.load()
    sizes = (
        min(thresholds.window.reference_rows, int(REFERENCE_SHARE * len(reviews))),
        min(thresholds.window.current_rows, int(CURRENT_SHARE * len(reviews))),
    )
    seeds = range(CALIBRATION_SEEDS.start, CALIBRATION_SEEDS.start + partitions)
    calibration = margins.calibrate(reviews, thresholds, "text", sizes, seeds)
    output.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(drift_thresholds.DEFAULT, output)
    margins.write_margins(output, calibration)
    return calibration


def thresholds_beside(reference: Path) -> drift_thresholds.Thresholds:
    """Return the thresholds that lie beside a reference window, else the project's.

    Example: `thresholds_beside(download_reference_window("7", folder))`.
    """
    own = reference.with_name(THRESHOLDS_FILE)
    return drift_thresholds.load(own) if own.is_file() else drift_thresholds.load()
