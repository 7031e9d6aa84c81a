"""Fits how the windows of a long review become one answer, on whole reviews of the training and validation data."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from feature_checks.classifier import OnnxClassifier
from feature_checks.contract import GROUP_ID, LABELS, RATING, SPLIT, TEXT, Label, label_of_rating, normalise
from feature_checks.documents.aggregation import FEATURES, Aggregation, features
from feature_checks.documents.windows import divide

logger = logging.getLogger(__name__)

MIN_REVIEWS: Final = 30
"""With fewer reviews of several sentences nothing is fitted, and long texts get the mean of their windows."""

FITTED_SPLITS: Final = ("train", "validation")
"""The splits whose reviews the coefficients are fitted on."""

_FOLDS: Final = 5
_PENALTIES: Final = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
"""Inverse strengths of the L2 penalty; five-fold cross-validation over the reviews chooses one by its log-loss."""


@dataclass(frozen=True)
class Review:
    """One review of several rated rows of the data, which are its sentences."""

    group: str
    text: str
    """The sentences in their order, with a space between them."""
    rating: float
    """The mean of the sentences' mean ratings."""
    label: Label
    """The label of that rating, by the thresholds that label a sentence."""


def whole_reviews(frame: pd.DataFrame, splits: Sequence[str]) -> list[Review]:
    """Return the reviews of some splits that have at least two rows with a rating, each in the order of its rows.

    The people who rated the default data rated sentences; nobody rated a review as a whole. Data without ratings, or
    with one row for each review, has none.
    """
    if RATING not in frame.columns:
        return []
    rated = frame[frame[SPLIT].isin(splits) & frame[RATING].notna()]
    reviews = []
    for group, rows in rated.groupby(GROUP_ID, sort=False):
        if len(rows) > 1:
            rating = float(rows[RATING].astype(float).mean())
            text = " ".join(normalise(text) for text in rows[TEXT])
            reviews.append(Review(str(group), text, rating, label_of_rating(rating)))
    return reviews


def fit_aggregation(classifier: OnnxClassifier, reviews: Sequence[Review]) -> Aggregation:
    """Return the coefficients that give the reviews their labels, or none where there are too few reviews.

    Every review counts, also one that the model reads at once: its windows are as good an example.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, StratifiedKFold

    start = replace(classifier.aggregation, coefficients=(), intercept=())
    counts = Counter(review.label for review in reviews)
    if len(reviews) < MIN_REVIEWS or set(counts) != set(LABELS) or min(counts.values()) < _FOLDS:
        logger.warning("%d whole reviews with %d labels: long texts get the mean of their windows",
                       len(reviews), len(counts))  # fmt: skip
        return start
    rows = window_features(classifier, [review.text for review in reviews])
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=0)
    search = GridSearchCV(LogisticRegression(max_iter=5000), {"C": _PENALTIES}, scoring="neg_log_loss", cv=folds)
    model = search.fit(rows, [LABELS.index(review.label) for review in reviews]).best_estimator_
    return replace(start, coefficients=model.coef_.round(6).tolist(), intercept=model.intercept_.round(6).tolist())


def window_features(classifier: OnnxClassifier, texts: Sequence[str]) -> NDArray[np.float64]:
    """Return the n x 5 features of texts, whose windows are divided as the server divides long texts."""
    tokens = classifier.aggregation.window_tokens
    parts = [divide(text, classifier.encode, tokens) for text in texts]
    probabilities = classifier.batched([row for part in parts for row in part])
    found = np.empty((len(texts), len(FEATURES)))
    start = 0
    for index, part in enumerate(parts):
        found[index] = features(probabilities[start : start + len(part)], [len(row.ids) for row in part])
        start += len(part)
    return found
