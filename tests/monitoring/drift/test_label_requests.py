"""The rows that people are asked to label."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from monitoring.drift.label_requests import ask_for_labels, write_requests


def window(rows: int = 300) -> pd.DataFrame:
    """Return rows whose confidence falls and whose domain score rises with their number."""
    return pd.DataFrame(
        {
            "row_id": [f"r{number}" for number in range(rows)],
            "text": [f"text {number}" for number in range(rows)],
            "label": "neutral",
            "confidence": np.linspace(0.9, 0.4, rows),
            "domain_score": np.linspace(0.0, 1.0, rows) % 0.7,
        }
    )


def test_each_row_is_asked_for_once_and_for_a_reason() -> None:
    current = window()
    random_part = current.sample(40, random_state=0)
    asked = ask_for_labels(current, random_part, count=20)
    assert asked["row_id"].is_unique
    by_reason = {why: set(rows["row_id"]) for why, rows in asked.groupby("why")}
    assert by_reason["random"] == set(random_part["row_id"])
    assert by_reason["uncertain"] | by_reason["random"] >= {f"r{number}" for number in range(280, 300)}
    drifted = set(current.nlargest(20, "domain_score")["row_id"])
    assert by_reason["drifted"] | by_reason["random"] >= drifted
    assert len(asked) <= 80


def test_labelled_rows_are_not_asked_for_again() -> None:
    current = window().assign(true_label="neutral")
    current.loc[0, "true_label"] = None
    assert ask_for_labels(current, current, count=20)["row_id"].tolist() == ["r0"]


def test_without_texts_there_is_nothing_to_label() -> None:
    current = window().drop(columns="text")
    assert ask_for_labels(current, current).empty


def test_the_rows_are_written_as_jsonl(tmp_path: Path) -> None:
    asked = ask_for_labels(window(3).assign(text=["für", "b", "c"]), window(3), count=1)
    path = tmp_path / "new" / "requests.jsonl"
    write_requests(asked, str(path))
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert lines[0] == {"row_id": "r0", "text": "für", "label": "neutral", "confidence": 0.9, "why": "random"}
    assert len(lines) == 3
