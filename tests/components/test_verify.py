from __future__ import annotations

import numpy as np
import pytest

from components.results.evaluation import CascadeResult
from components.results.parity import Difference
from components.verify import cascade_violations, compare, violations
from feature_checks import thresholds

SAME = Difference(label_agreement=1.0, largest_gap=0.0, gap_p99=0.0, macro_f1_loss=0.0)
LIMITS = thresholds.load().verify


def test_compare_by_hand() -> None:
    reference = np.array([[0.9, 0.1, 0.0], [0.2, 0.5, 0.3]], dtype=np.float32)
    other = np.array([[0.8, 0.2, 0.0], [0.5, 0.3, 0.2]], dtype=np.float32)
    difference = compare(reference, other, np.array([0, 1]))
    assert difference.label_agreement == 0.5
    assert difference.largest_gap == pytest.approx(0.3)
    assert difference.macro_f1_loss == pytest.approx(2 / 3 - 2 / 9)


def test_equal_models_break_nothing() -> None:
    assert violations({"fp32": SAME, "int8": SAME, "batching": SAME}, LIMITS) == []


@pytest.mark.parametrize(
    ("model", "worse", "message"),
    [
        ("fp32", Difference(1.0, 0.01, 0.01, 0.0), "FP32 differs from torch by up to 0.0100"),
        ("int8", Difference(0.98, 0.1, 0.1, 0.0), "INT8 agrees with torch on 0.9800 of labels; 0.985 is needed"),
        ("int8", Difference(0.99, 0.1, 0.1, 0.02), "INT8 loses 0.0200 macro-F1"),
        ("batching", Difference(0.99, 0.1, 0.01, 0.0), "batching keeps 0.9900 of labels"),
        ("batching", Difference(1.0, 0.3, 0.2, 0.0), "batching moves a probability by 0.2000"),
    ],
)
def test_each_threshold_bites(model: str, worse: Difference, message: str) -> None:
    (sentence,) = violations({"fp32": SAME, "int8": SAME, "batching": SAME} | {model: worse}, LIMITS)
    assert sentence.startswith(message)


@pytest.mark.parametrize(("macro_f1", "kept"), [(0.72, True), (0.70, False)])
def test_a_fast_model_may_not_lose_much_against_its_second_stage(macro_f1: float, kept: bool) -> None:
    expected = "macro-F1 is 0.7000, and 0.7400 if the second stage reads every text; a loss of at most 0.03 is allowed"
    found = cascade_violations(macro_f1, CascadeResult(0.65, 0.8, 0.74), LIMITS)
    assert found == ([] if kept else [expected])
    assert cascade_violations(macro_f1, None, LIMITS) == []
