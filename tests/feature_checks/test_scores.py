from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score

from feature_checks import scores

TRUTH = np.array([0, 0, 1, 1, 2, 2])


def test_macro_f1_counts_an_unpredicted_class_as_zero() -> None:
    assert scores.macro_f1(TRUTH, np.array([0, 0, 0, 0, 2, 2])) == pytest.approx((2 / 3 + 0 + 1) / 3)


def test_a_class_that_is_nowhere_counts_zero() -> None:
    assert scores.macro_f1(np.array([0, 1]), np.array([0, 1])) == pytest.approx(2 / 3)


@pytest.mark.parametrize("classes", [3, 2], ids=["all classes", "one class absent"])
def test_macro_f1_is_scikit_learns(classes: int) -> None:
    random = np.random.default_rng(0)
    truth, predicted = random.integers(classes, size=(2, 500))
    expected = f1_score(truth, predicted, labels=range(3), average="macro", zero_division=0.0)
    assert scores.macro_f1(truth, predicted) == pytest.approx(expected)


def test_class_indices_are_in_contract_order() -> None:
    assert scores.class_indices(["positive", "negative", "neutral"]).tolist() == [2, 0, 1]
