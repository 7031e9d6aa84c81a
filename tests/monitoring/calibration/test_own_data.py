"""Thresholds of a champion's own data: measured on windows by review, found beside the reference window."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from monitoring import drift_thresholds
from monitoring.calibration.own_data import THRESHOLDS_FILE, thresholds_beside, write_thresholds
from monitoring.windows.window import WindowError


def test_thresholds_of_own_data_lie_beside_the_reference(reviews: pd.DataFrame, tmp_path: Path) -> None:
    feedback = reviews.head(50).assign(source="feedback", text="another domain")
    pd.concat([reviews.head(900), feedback]).to_parquet(tmp_path / "data.parquet")
    made = write_thresholds(tmp_path / "data.parquet", tmp_path / "window" / THRESHOLDS_FILE, 6)
    assert (made.partitions, made.reference_rows, made.current_rows) == (6, 540, 180)
    found = thresholds_beside(tmp_path / "window" / "reference.parquet")
    for name, margin in made.margins.items():
        assert found.detectors[name].margin == pytest.approx(margin, abs=1e-4)
    project = drift_thresholds.load()
    assert found.detectors["label"] == project.detectors["label"]
    assert found.detectors["domain"] != project.detectors["domain"]
    assert found.policy == project.policy


def test_without_own_thresholds_the_projects_hold(tmp_path: Path) -> None:
    assert thresholds_beside(tmp_path / "reference.parquet") == drift_thresholds.load()


def test_data_of_a_single_review_cannot_be_cut(reviews: pd.DataFrame, tmp_path: Path) -> None:
    reviews.head(500).assign(group_id="one").to_parquet(tmp_path / "data.parquet")
    with pytest.raises(WindowError, match="without a shared review"):
        write_thresholds(tmp_path / "data.parquet", tmp_path / THRESHOLDS_FILE, 2)
