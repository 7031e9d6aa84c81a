"""Calibration and claims, on real reviews and few partitions."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from monitoring import drift_thresholds as thresholds
from monitoring.calibration import alarm_rates, margins
from monitoring.calibration.partitions import partition, read_reviews
from monitoring.drift.detectors import scores
from monitoring.drift_thresholds import Thresholds
from monitoring.windows.window import WindowError


@pytest.fixture(scope="module")
def data(reviews: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The reviews with a confidence, as a champion's predictions would have."""
    path = tmp_path_factory.mktemp("data") / "reviews.parquet"
    confidence = np.random.default_rng(0).uniform(0.4, 1.0, len(reviews))
    reviews[["text", "label", "group_id"]].assign(confidence=confidence).to_parquet(path)
    return str(path)


def test_a_partition_has_the_sizes_shares_no_review_and_follows_its_seed(data: str) -> None:
    frame = read_reviews(data)
    reference, current = partition(frame, (1500, 500), seed=3)
    assert (len(reference), len(current)) == (1500, 500)
    assert not set(reference["group_id"]) & set(current["group_id"])
    assert partition(frame, (1500, 500), seed=3)[1].equals(current)
    assert not partition(frame, (1500, 500), seed=4)[1].equals(current)


def test_too_little_data_is_said(data: str) -> None:
    with pytest.raises(WindowError, match="3708 rows give no windows of 3500 and 500 rows"):
        partition(read_reviews(data), (3500, 500), seed=0)


def test_data_without_reviews_is_refused(tmp_path: Path) -> None:
    pd.DataFrame({"text": ["a"]}).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(WindowError, match="expected 'group_id' among them"):
        read_reviews(str(tmp_path / "a.parquet"))


def test_margins_put_the_false_alarm_rate_at_the_target(data: str, limits: Thresholds) -> None:
    frame = read_reviews(data)
    found = margins.calibrate(frame, limits, "prediction", (1500, 500), seeds=range(40), target=0.1)
    assert set(found.margins) == {"label", "confidence"}
    assert found.false_alarms <= 4
    assert found.margins["label"] == pytest.approx(
        found.means["label"] + found.spreads * found.standard_deviations["label"]
    )


def test_margins_of_smaller_windows_are_stated_for_the_calibrated_sizes(data: str, limits: Thresholds) -> None:
    frame = read_reviews(data)
    found = margins.calibrate(frame, limits, "prediction", (375, 125), seeds=range(5))
    at_these_sizes = found.means["label"] + found.spreads * found.standard_deviations["label"]
    assert found.margins["label"] == pytest.approx(at_these_sizes / 2)


def test_claims_count_alarms_with_exact_intervals(data: str, tweets: pd.DataFrame, limits: Thresholds) -> None:
    others = {"tweets": tweets}
    found = alarm_rates.alarm_rates(read_reviews(data), others, limits, "text", (1500, 500), seeds=range(2))
    assert [row.case for row in found] == ["same domain", "100% tweets", "30% tweets", "10% tweets"]
    assert [row.alarms for row in found[:3]] == [0, 2, 2]
    assert found[1].by_detector["domain"] == 2
    # Clopper-Pearson for none of two: 1 - 0.025 ** (1 / 2).
    assert found[0].low == 0.0
    assert found[0].high == pytest.approx(1 - 0.025**0.5)
    assert "| same domain | 0 of 2 | 0.0% | 0.0% to 84.2% |" in alarm_rates.table(found)


def test_margins_are_written_where_the_thresholds_are_read(tmp_path: Path, data: str, limits: Thresholds) -> None:
    path = tmp_path / "thresholds.toml"
    shutil.copyfile(thresholds.DEFAULT, path)
    found = margins.calibrate(read_reviews(data), limits, "prediction", (1500, 500), seeds=range(3))
    margins.write_margins(path, found)
    read = thresholds.load(path)
    assert read.detectors["label"].margin == pytest.approx(found.margins["label"], abs=1e-4)
    assert read.detectors["domain"] == limits.detectors["domain"]
    margins.save(tmp_path / "calibration.json", found)
    assert json.loads((tmp_path / "calibration.json").read_text(encoding="utf-8"))["partitions"] == 3


def test_thresholds_without_the_detector_are_refused(tmp_path: Path, data: str, limits: Thresholds) -> None:
    path = tmp_path / "thresholds.toml"
    path.write_text("[detectors]\n", encoding="utf-8")
    found = margins.calibrate(read_reviews(data), limits, "prediction", (1500, 500), seeds=range(3))
    with pytest.raises(WindowError, match="found 0 lines for the detector"):
        margins.write_margins(path, found)


def test_descriptors_rarely_alarm_at_the_size_of_a_default_champions_reference(data: str, limits: Thresholds) -> None:
    """Partitions that were not used to calibrate. Margins scaled from 1,500 rows alarmed in 8 of these 200."""
    described, sizes = read_reviews(data).drop(columns="text"), (467, 500)
    alarms = 0
    for seed in range(200):
        measured = scores(*partition(described, sizes, seed))
        alarms += any(measured[name] >= limits.of(name, *sizes) for name in ("length", "words", "non_letters"))
    assert alarms <= 2
