"""The thresholds file."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitoring import drift_thresholds as thresholds
from monitoring.drift import detectors
from monitoring.drift_thresholds import Thresholds, ThresholdsError


def test_every_detector_has_a_threshold_and_every_threshold_a_detector(limits: Thresholds) -> None:
    assert set(limits.detectors) == {one.name for one in detectors.DETECTORS}


@pytest.mark.parametrize(("old", "new"), [("min_rows = ", "least_rows = "), ("max_macro_f1_drop = ", "drop = ")])
def test_an_unknown_or_missing_name_is_refused(tmp_path: Path, old: str, new: str) -> None:
    path = tmp_path / "thresholds.toml"
    path.write_text(thresholds.DEFAULT.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    with pytest.raises(ThresholdsError, match=r"thresholds\.toml: .*(least_rows|drop)"):
        thresholds.load(path)
