"""The share of unseen words: what it counts, and what it sees."""

from __future__ import annotations

import pandas as pd
import pytest

from monitoring.calibration.partitions import with_other_domain
from monitoring.drift.detectors import METHODS
from monitoring.drift.unseen_words import with_unseen_words
from monitoring.drift_thresholds import Thresholds


def test_words_of_the_other_reviews_are_seen() -> None:
    reference = pd.DataFrame({"text": ["good zoom", "Good zoom!"], "group_id": ["a", "b"]})
    before, now = with_unseen_words(reference, pd.DataFrame({"text": ["good lens", "", "très bon"]}))
    assert before["unseen_words"].tolist() == pytest.approx([0.0, 1 / 3])
    assert now["unseen_words"].tolist() == pytest.approx([0.5, 0.0, 1.0])


def test_without_reviews_or_texts_nothing_is_added() -> None:
    frame = pd.DataFrame({"text": ["good"]})
    for reference in (frame, pd.DataFrame({"length": [1], "group_id": ["a"]})):
        assert "unseen_words" not in with_unseen_words(reference, frame)[1]


def test_a_third_of_another_domain_is_seen_in_one_window(
    amazon: tuple[pd.DataFrame, pd.DataFrame], tweets: pd.DataFrame, limits: Thresholds
) -> None:
    reference, current = amazon
    scores = []
    for window in (current, with_other_domain(current, tweets, 0.3, seed=0)):
        before, now = with_unseen_words(reference, window)
        scores.append(METHODS["mean_rise"](before["unseen_words"], now["unseen_words"]))
    assert scores[0] < limits.of("unseen_words", 1500, 500) < scores[1]
