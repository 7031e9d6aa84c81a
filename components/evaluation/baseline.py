"""What a model is compared with: VADER and the average human rater."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from feature_checks.contract import LABELS, RATINGS, label_of_rating
from feature_checks.scores import Classes, class_indices, macro_f1


def vader_predictions(texts: Sequence[str]) -> Classes:
    """Return VADER's classes at its authors' thresholds: compound ≥ 0.05 is positive, ≤ −0.05 negative."""
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    analyzer = SentimentIntensityAnalyzer()
    compound = np.array([analyzer.polarity_scores(text)["compound"] for text in texts])
    return np.where(compound >= 0.05, 2, np.where(compound <= -0.05, 0, 1)).astype(np.int64)


def human_macro_f1(frame: pd.DataFrame, labels: Sequence[str] = LABELS) -> float | None:
    """Return the mean macro-F1 of single raters, each against the label of the mean of the others' ratings.

    A mean that contained the rater's own rating would flatter them. Rater k gave the k-th rating of each row; rows with
    fewer ratings count for fewer raters. None if no row has two ratings.
    """
    if RATINGS not in frame.columns:
        return None
    rated = [np.asarray(ratings) for ratings in frame[RATINGS] if np.size(ratings) > 1]
    scores = []
    for rater in range(min((len(ratings) for ratings in rated), default=0)):
        others = [label_of_rating(float(np.delete(ratings, rater).mean())) for ratings in rated]
        own = np.array([np.sign(ratings[rater]) + 1 for ratings in rated], dtype=np.int64)
        scores.append(macro_f1(class_indices(others), own, labels))
    return float(np.mean(scores)) if scores else None
