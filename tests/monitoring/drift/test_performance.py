"""Macro-F1 of labelled windows."""

from __future__ import annotations

import numpy as np
import pandas as pd

from monitoring.drift.performance import expected_accuracy, macro_f1, smallest_fall


def test_macro_f1_needs_enough_labels() -> None:
    frame = pd.DataFrame(
        {
            "label": ["negative", "neutral", "positive", "positive"],
            "true_label": ["negative", "neutral", "positive", None],
        }
    )
    measured = macro_f1(frame, 3)
    assert measured is not None
    assert (measured.value, measured.rows) == (1.0, 3)
    assert macro_f1(frame, 4) is None
    assert macro_f1(frame[["label"]], 1) is None


def _frame(rows: int, wrong: int) -> pd.DataFrame:
    labels = [("negative", "neutral", "positive")[index % 3] for index in range(rows)]
    truth = [
        ("neutral" if label == "positive" else "positive") if i < wrong else label for i, label in enumerate(labels)
    ]
    return pd.DataFrame({"label": labels, "true_label": truth})


def test_the_interval_holds_the_value_and_shrinks_with_the_rows() -> None:
    few, many = macro_f1(_frame(120, 24), 1), macro_f1(_frame(1200, 240), 1)
    assert few is not None and many is not None
    for measured in (few, many):
        low, high = measured.interval
        assert low < measured.value < high
    widths = [measured.interval[1] - measured.interval[0] for measured in (few, many)]
    assert widths[1] < widths[0] / 2.5
    again = macro_f1(_frame(120, 24), 1)
    assert again is not None
    assert again.interval == few.interval


def test_the_bound_of_a_fall_lies_below_the_fall() -> None:
    before, now = macro_f1(_frame(300, 30), 1), macro_f1(_frame(120, 60), 1)
    assert before is not None and now is not None
    fall = before.value - now.value
    assert 0 < smallest_fall(before, now, 0.95) < smallest_fall(before, now, 0.5) < fall + 0.05


def _confident(random: np.random.Generator, rows: int, surplus: float, name: str = "g") -> pd.DataFrame:
    """Return predictions that are right as often as their confidence says plus a surplus."""
    confidence = random.uniform(0.5, 0.9, rows)
    right = random.random(rows) < confidence + surplus
    return pd.DataFrame({
        "label": ["positive"] * rows,
        "true_label": np.where(right, "positive", "negative"),
        "confidence": confidence,
        "group_id": [f"{name}{number // 5}" for number in range(rows)],
    })  # fmt: skip


def test_the_expected_accuracy_is_the_true_one_also_of_a_model_that_is_too_sure() -> None:
    random, covered, gaps = np.random.default_rng(0), 0, []
    for _ in range(60):
        reference, current = (_confident(random, 500, -0.1) for _ in range(2))
        found = expected_accuracy(reference, current.drop(columns="true_label"), 100)
        assert found is not None
        true = float((current["label"] == current["true_label"]).mean())
        low, high = found.interval
        assert low < found.value < high
        covered += low <= true <= high
        gaps.append(found.value - true)
    assert covered >= 52
    assert abs(np.mean(gaps)) < 0.01


def test_the_expected_accuracy_needs_confidences_and_reference_labels() -> None:
    random = np.random.default_rng(1)
    reference, current = _confident(random, 120, 0.0), _confident(random, 120, 0.0)
    assert expected_accuracy(reference, current, 121) is None
    assert expected_accuracy(reference, current.drop(columns="confidence"), 100) is None
    assert expected_accuracy(reference.drop(columns="true_label"), current, 100) is None
    assert expected_accuracy(reference, current.head(0), 100) is None
    without_groups = expected_accuracy(reference.drop(columns="group_id"), current, 100)
    assert without_groups is not None


def test_reviews_that_hang_together_widen_the_interval() -> None:
    random = np.random.default_rng(2)
    reference, current = _confident(random, 400, 0.0), _confident(random, 400, 0.0)
    reference["true_label"] = np.repeat(np.where(random.random(10) < 0.7, "positive", "negative"), 40)
    together = expected_accuracy(reference.assign(group_id=np.repeat(range(10), 40)), current, 100)
    alone = expected_accuracy(reference.assign(group_id=range(400)), current, 100)
    assert together is not None and alone is not None
    widths = [found.interval[1] - found.interval[0] for found in (together, alone)]
    assert widths[0] > 1.5 * widths[1]
