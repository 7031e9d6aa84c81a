from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from components.evaluation import baseline, bootstrap, metrics
from components.results.evaluation import ClassScore
from feature_checks import scores
from feature_checks.classifier import softmax

TRUTH = np.array([0, 0, 1, 1, 2, 2])


def test_class_scores_by_hand() -> None:
    found = metrics.class_scores(TRUTH, np.array([0, 1, 1, 1, 2, 0]))
    assert found["negative"] == ClassScore(precision=0.5, recall=0.5, f1=0.5, support=2)
    assert found["neutral"].recall == 1.0


def test_bound_of_a_change_that_is_the_same_in_each_group_is_the_change() -> None:
    """Resampling whole groups cannot vary it; resampling rows would."""
    truth, after = np.tile(TRUTH, 20), np.tile([0, 1, 1, 1, 2, 2], 20)
    groups = [str(number) for number in range(20) for _ in TRUTH]
    change = bootstrap.macro_f1_change(truth, truth, after, groups, level=0.95)
    assert change.macro_f1 == pytest.approx((2 / 3 + 4 / 5 + 1) / 3 - 1)
    assert change.lower_bound == pytest.approx(change.macro_f1)


@pytest.mark.parametrize(("level", "bound"), [(0.95, -1.0), (0.60, -0.5), (0.10, 0.0)])
def test_bound_over_two_groups_is_known_exactly(level: float, bound: float) -> None:
    """Drawn are twice the good group, both, or twice the bad one, with the chances ¼, ½ and ¼."""
    truth = np.concatenate([TRUTH, TRUTH])
    after = np.concatenate([TRUTH, (TRUTH + 1) % 3])
    groups = ["good"] * 6 + ["bad"] * 6
    change = bootstrap.macro_f1_change(truth, truth, after, groups, level=level)
    assert change.lower_bound == pytest.approx(bound)


def test_bound_over_many_rows_is_the_normal_one() -> None:
    """With balanced classes and even errors macro-F1 varies as accuracy does, whose change is McNemar's."""
    rows, worse, better = 3000, 300, 180
    truth = np.arange(rows) % 3
    before, after = truth.copy(), truth.copy()
    after[:worse] = (truth[:worse] + 1 + np.arange(worse) // 3 % 2) % 3
    before[worse : worse + better] = (truth[worse : worse + better] + 1 + np.arange(better) // 3 % 2) % 3
    change = bootstrap.macro_f1_change(truth, before, after, [str(row) for row in range(rows)], level=0.95)
    mean = (better - worse) / rows
    error = np.sqrt(((better + worse) / rows - mean**2) / rows)
    assert change.macro_f1 == pytest.approx(mean, abs=1e-6)
    assert change.lower_bound == pytest.approx(mean - 1.645 * error, abs=0.15 * error)


def test_equal_predictions_give_an_equal_bound_in_any_block_size(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    truth, before, after = random.integers(3, size=(3, 600))
    groups = [str(group) for group in random.integers(50, size=600)]
    first = bootstrap.macro_f1_change(truth, before, after, groups, level=0.95)
    assert bootstrap.macro_f1_change(truth, before, after, groups, level=0.95) == first
    monkeypatch.setattr(bootstrap, "_BLOCK", 50 * 7)
    assert bootstrap.macro_f1_change(truth, before, after, groups, level=0.95) == first


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
    truth = (softmax(logits).cumsum(axis=1) > random.random((4000, 1))).argmax(axis=1)
    assert metrics.fit_temperature(logits * 2.5, truth) == pytest.approx(2.5, rel=0.1)


def test_vader_and_human_on_the_test_split(reviews: pd.DataFrame) -> None:
    test = reviews[reviews["split"] == "test"]
    truth = scores.class_indices(test["label"].tolist())
    vader = scores.macro_f1(truth, baseline.vader_predictions(test["text"].tolist()))
    assert vader == pytest.approx(0.57, abs=0.005)
    assert baseline.human_macro_f1(test) == pytest.approx(0.835, abs=0.0005)


def test_no_human_score_without_ratings() -> None:
    assert baseline.human_macro_f1(pd.DataFrame({"text": ["a"]})) is None
    assert baseline.human_macro_f1(pd.DataFrame({"ratings": [None, [2]]})) is None


def test_a_rater_is_compared_with_the_others_alone() -> None:
    """Of the first row, 1 and 0, the mean is positive: with their own rating the first rater would be right."""
    rows = pd.DataFrame({"ratings": [[1, 0], [2, 2], [-2, -2], [0, 0], None, [-1]]})
    assert baseline.human_macro_f1(rows) == pytest.approx((1 + 2 / 3 + 2 / 3) / 3)


def _judged(random: np.random.Generator, rows: int, shift: float) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Draw rows that are right as often as their confidence says, less a shift."""
    top = random.uniform(0.5, 0.95, rows)
    truth = (random.random(rows) >= top - shift).astype(np.int64)
    rest = (1 - top) / 2
    return truth, np.stack([top, rest, rest], axis=1), [str(number // 4) for number in range(rows)]


def test_the_interval_of_the_calibration_error_covers_the_true_one() -> None:
    """With a shift of 0.1 the true error is 0.1; a percentile interval would lie too high."""
    random, hits = np.random.default_rng(0), 0
    for _ in range(60):
        interval = metrics.calibration_interval(*_judged(random, 600, 0.1))
        hits += interval.low <= 0.1 <= interval.high
    assert hits >= 51
    truth, probabilities, groups = _judged(random, 600, 0.1)
    error = metrics.expected_calibration_error(truth, probabilities)
    interval = metrics.calibration_interval(truth, probabilities, groups)
    assert interval.low < error < interval.high


def test_exact_confidences_show_an_error_by_chance() -> None:
    random = np.random.default_rng(1)
    found = [_judged(random, 600, 0.0) for _ in range(200)]
    expected = float(np.mean([metrics.expected_calibration_error(truth, rows) for truth, rows, _ in found]))
    assert metrics.calibration_floor(found[0][1]) == pytest.approx(expected, abs=0.003)
    assert expected > 0.02


@pytest.mark.parametrize("shift", [0.0, 0.1])
def test_chance_does_not_raise_the_debiased_calibration_error(shift: float) -> None:
    random, squares, covered = np.random.default_rng(2), [], 0
    for _ in range(60):
        truth, probabilities, groups = _judged(random, 600, shift)
        confidence = probabilities.max(axis=1)
        gaps = (truth == 0).astype(np.float64) - confidence
        squares.append(bootstrap.squared_gap(gaps, (confidence * 10).astype(np.int64), groups))
        interval = metrics.debiased_calibration_interval(truth, probabilities, groups)
        assert metrics.debiased_calibration_error(truth, probabilities, groups) == pytest.approx(
            max(0.0, squares[-1]) ** 0.5
        )
        covered += interval.low <= shift <= interval.high
    assert float(np.mean(squares)) == pytest.approx(shift**2, abs=0.0006)
    assert covered >= 51


def test_errors_of_one_review_that_hang_together_do_not_raise_the_debiased_error_either() -> None:
    """Reviews of 20 rows that are right or wrong together: rows taken as independent would show an error of 0.06."""
    random = np.random.default_rng(3)
    reviews, rows = [str(number // 20) for number in range(1200)], [str(number) for number in range(1200)]
    bins, found = np.zeros(1200, dtype=np.int64), []
    for _ in range(200):
        gaps = np.repeat(random.random(60) < 0.7, 20).astype(np.float64) - 0.7
        found.append([bootstrap.squared_gap(gaps, bins, names) for names in (reviews, rows)])
    by_review, by_row = np.mean(found, axis=0).tolist()
    assert abs(by_review) < 0.001 < 0.002 < by_row
