"""The split step: every row gets a split, and copies of held-out texts are not trained on."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from components.split import split
from feature_checks.splits import without_held_out_texts


def row(number: int, text: str, source: str, named: str | None = None) -> dict[str, str | None]:
    review = f"{source}:{number}"
    return {"row_id": review, "group_id": review, "text": text, "label": "positive", "source": source, "split": named}


def test_a_label_given_to_a_held_out_text_is_not_trained_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = [
        row(1, "A test text.", "amazon", "test"),
        row(2, "A validation text.", "amazon", "validation"),
        row(3, "A training text.", "amazon", "train"),
        row(4, "A  test text. ", "feedback", "train"),
        row(5, "A validation text.", "feedback", "train"),
        row(6, "A training text.", "feedback", "train"),
        row(7, "A new text.", "feedback", "train"),
    ]
    pd.DataFrame(rows).to_parquet(tmp_path / "data.parquet")
    counts = split(tmp_path / "data.parquet", tmp_path / "split.parquet")
    assert counts == {"train": 3, "validation": 1, "test": 1, "training_rows_left_out": 2}
    kept = pd.read_parquet(tmp_path / "split.parquet")
    assert kept["row_id"].tolist() == ["amazon:1", "amazon:2", "amazon:3", "feedback:6", "feedback:7"]
    assert "2 training rows are left out" in caplog.text
    assert split(tmp_path / "split.parquet", tmp_path / "again.parquet")["training_rows_left_out"] == 0


def test_copies_in_two_splits_leave_train_and_not_test(tmp_path: Path) -> None:
    rows = [
        row(1, "The same.", "amazon", "test"),
        row(2, "The  same.", "amazon", "train"),
        row(3, "The same.", "amazon", "validation"),
        row(4, "Another.", "amazon", "train"),
        row(5, "Another.", "amazon", "train"),
    ]
    pd.DataFrame(rows).to_parquet(tmp_path / "data.parquet")
    counts = split(tmp_path / "data.parquet", tmp_path / "split.parquet")
    assert counts == {"train": 2, "validation": 1, "test": 1, "training_rows_left_out": 1}


def test_feedback_on_a_text_of_the_data_takes_nothing_out_of_training() -> None:
    rows = [
        row(1, "A training text.", "amazon", "train"),
        row(2, "A training  text.", "feedback", "test"),
        row(3, "A new text.", "feedback", "test"),
    ]
    kept = without_held_out_texts(pd.DataFrame(rows))
    assert kept["row_id"].tolist() == ["amazon:1", "feedback:3"]
