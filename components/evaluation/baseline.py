"""What a model is compared with: VADER and the average human rater."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from feature_checks.contract import LABELS, RATINGS
from feature_checks.scores import Classes, macro_f1


def vader_predictions(texts: Sequence[str]) -> Classes:
    """Return VADER's classes at its authors' thresholds: compound ≥ 0.05 is positive, ≤ −0.05 negative."""
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    analyzer = SentimentIntensityAnalyzer()
    compound = np.array([analyzer.polarity_scores(text)["compound"] for text in texts])
    return np.where(compound >= 0.05, 2, np.where(compound <= -0.05, 0, 1)).astype(np.int64)


def human_macro_f1(frame: pd.DataFrame, truth: Classes, labels: Sequence[str] = LABELS) -> float | None:
    """Return the mean macro-F1 of single raters against the label of all raters' mean; None without ratings.

    Rater k is the k-th rating of each row; rows rated by fewer people count for fewer raters.
    """
    if RATINGS not in frame.columns:
        return None
    rated = [(np.sign(np.asarray(ratings)).astype(int) + 1, label)
             for ratings, label in zip(frame[RATINGS], truth, strict=True)
             if ratings is not None and np.size(ratings)]  # fmt: skip
    if not rated:
        return None
    scores = []
    for rater in range(min(len(votes) for votes, _ in rated)):
        predicted = np.array([votes[rater] for votes, _ in rated])
        scores.append(macro_f1(np.array([label for _, label in rated]), predicted, labels))
    return float(np.mean(scores))
