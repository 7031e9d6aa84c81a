"""Macro-F1 of labelled windows."""

from __future__ import annotations

import pandas as pd

from monitoring.drift.performance import macro_f1, smallest_fall


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
