"""The detectors' scores: known values, and what they must and must not see."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.drift import detectors
from monitoring.drift.detectors import METHODS, scores, with_domain_scores
from monitoring.drift_thresholds import Thresholds

NUMBERS = st.lists(st.floats(0, 1), min_size=2, max_size=50)


def test_partial_auc_is_a_half_by_chance_and_one_when_apart() -> None:
    partial_auc = METHODS["partial_auc"]
    assert partial_auc(np.arange(100), np.arange(100) + 1000) == 1.0
    assert partial_auc(np.zeros(100), np.zeros(100)) == 0.5


@given(NUMBERS)
def test_equal_samples_have_no_distance(values: list[float]) -> None:
    column = pd.Series(values)
    assert METHODS["wasserstein_normed"](column, column) == 0.0
    assert METHODS["jensen_shannon"](column.astype(str), column.astype(str)) == pytest.approx(0.0, abs=1e-7)


def test_distances_have_their_known_values() -> None:
    reference = pd.Series([0.0, 2.0])
    assert METHODS["wasserstein_normed"](reference, reference + 3) == pytest.approx(3.0)
    assert METHODS["jensen_shannon"](pd.Series(["a", "a"]), pd.Series(["b"])) == pytest.approx(1.0)


def test_domain_scores_are_the_same_every_time(amazon: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    first, again = (with_domain_scores(*amazon)[1]["domain_score"] for _ in range(2))
    assert first.tolist() == again.tolist()
    assert first.between(0, 1).all()


def test_another_domain_is_seen_whole_and_mixed_in_and_the_same_domain_is_not(
    amazon: tuple[pd.DataFrame, pd.DataFrame], tweets: pd.DataFrame, limits: Thresholds
) -> None:
    reference, current = amazon
    mixed = pd.concat([current[["text"]][:350], tweets[["text"]][:150]])
    threshold = limits.of("domain", 1500, 500)
    found = [scores(*with_domain_scores(reference, other))["domain"] for other in (current, mixed, tweets)]
    assert found[0] < threshold < found[1] < found[2]


@pytest.mark.parametrize("texts", [["很好", "不好", "一般"], ["👍", "👎", "😐"], ["!", "?", "."]])
def test_any_script_is_a_text(texts: list[str]) -> None:
    frame = pd.DataFrame({"text": texts * 10})
    assert len(with_domain_scores(frame, frame)[0]["domain_score"]) == 30


def test_without_text_the_other_columns_are_still_measured() -> None:
    frame = pd.DataFrame({"length": [1.0, 2.0], "label": ["neutral", "positive"]})
    assert set(scores(*with_domain_scores(frame, frame))) == {"length", "label"}


def test_a_smaller_window_gets_a_wider_margin(limits: Thresholds) -> None:
    at_home = limits.of("length", limits.window.reference_rows, limits.window.current_rows)
    assert at_home == pytest.approx(limits.detectors["length"].margin)
    assert limits.of("length", 400, 400) == pytest.approx(at_home * np.sqrt((2 / 400) / (1 / 1500 + 1 / 500)))


def test_a_score_at_its_threshold_alarms(limits: Thresholds) -> None:
    threshold = limits.of("words", 1500, 500)
    (at,) = detectors.judge({"words": threshold}, limits, (1500, 500))
    (below,) = detectors.judge({"words": threshold - 1e-9}, limits, (1500, 500))
    assert (at.alarm, below.alarm) == (True, False)
    assert str(below).startswith("words (wasserstein_normed)")
