from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from components import metrics

TRUTH = np.array([0, 0, 1, 1, 2, 2])


def test_macro_f1_counts_an_unpredicted_class_as_zero() -> None:
    assert metrics.macro_f1(TRUTH, np.array([0, 0, 0, 0, 2, 2])) == pytest.approx((2 / 3 + 0 + 1) / 3)


def test_class_scores_by_hand() -> None:
    scores = metrics.class_scores(TRUTH, np.array([0, 1, 1, 1, 2, 0]))
    assert scores["negative"] == metrics.ClassScore(precision=0.5, recall=0.5, f1=0.5, support=2)
    assert scores["neutral"].recall == 1.0


def test_confusion_has_truth_in_rows() -> None:
    assert metrics.confusion(np.array([0]), np.array([2])) == [[0, 0, 1], [0, 0, 0], [0, 0, 0]]


def test_calibration_error_of_a_model_that_is_as_right_as_it_says() -> None:
    truth = np.array([0] * 8 + [1] * 2)
    sure = np.tile([0.8, 0.1, 0.1], (10, 1))
    assert metrics.expected_calibration_error(truth, sure) == pytest.approx(0.0)
    overconfident = np.tile([1.0, 0.0, 0.0], (10, 1))
    assert metrics.expected_calibration_error(truth, overconfident) == pytest.approx(0.2)


def test_temperature_recovers_a_known_scale() -> None:
    random = np.random.default_rng(0)
    logits = random.normal(size=(4000, 3)) * 2
    truth = (metrics.softmax(logits).cumsum(axis=1) > random.random((4000, 1))).argmax(axis=1)
    assert metrics.fit_temperature(logits * 2.5, truth) == pytest.approx(2.5, rel=0.1)


def test_vader_and_human_on_the_test_split(reviews: pd.DataFrame) -> None:
    test = reviews[reviews["split"] == "test"]
    truth = metrics.class_indices(test["label"].tolist())
    vader = metrics.macro_f1(truth, metrics.vader_predictions(test["text"].tolist()))
    assert vader == pytest.approx(0.57, abs=0.005)
    human = metrics.human_macro_f1(test, truth)
    assert human is not None
    assert human == pytest.approx(0.84, abs=0.005)


def test_no_human_score_without_ratings() -> None:
    assert metrics.human_macro_f1(pd.DataFrame({"text": ["a"]}), np.array([0])) is None
