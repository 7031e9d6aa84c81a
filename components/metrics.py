"""The measures a sentiment model is judged by, as functions of arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from feature_checks.classifier import softmax
from feature_checks.contract import LABELS, RATINGS
from feature_checks.scores import Classes, class_indices, macro_f1, macro_f1_of_counts, row_counts

__all__ = ["Classes", "class_indices", "macro_f1"]

CALIBRATION_BINS: Final = 10
RESAMPLES: Final = 2000
SEED: Final = 0
_BLOCK: Final = 4_000_000
"""Most weights of the bootstrap that are held at once."""


@dataclass(frozen=True)
class ClassScore:
    """Precision, recall and F1 of one class over `support` rows."""

    precision: float
    recall: float
    f1: float
    support: int


def class_scores(truth: Classes, predicted: Classes) -> dict[str, ClassScore]:
    """Return the scores of each label."""
    table = precision_recall_fscore_support(truth, predicted, labels=range(len(LABELS)), zero_division=0.0)
    columns = zip(*table, strict=True)
    return {
        label: ClassScore(float(precision), float(recall), float(f1), int(support))
        for label, (precision, recall, f1, support) in zip(LABELS, columns, strict=True)
    }


@dataclass(frozen=True)
class Change:
    """One model's macro-F1 minus another's over the same rows, and the one-sided lower confidence bound of that."""

    macro_f1: float
    lower_bound: float


def macro_f1_change(truth: Classes, before: Classes, after: Classes, groups: Sequence[str], *, level: float) -> Change:
    """Return the change from the predictions `before` to `after` (n classes each) with its bound at `level`.

    Paired bootstrap (Berg-Kirkpatrick et al., EMNLP 2012), percentile bound (Efron & Tibshirani 1993, ch. 13). Whole
    groups are resampled (Field & Welsh, JRSS B 2007), since rows of one review are not independent; with only a few
    groups the bound is too near. 2,000 resamples at a fixed seed: equal predictions give an equal bound.
    """
    _, group = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    size = int(group.max()) + 1
    counts = np.zeros((size, 2, 3, len(LABELS)))
    np.add.at(counts, group, np.stack([row_counts(truth, before), row_counts(truth, after)], axis=1))
    # Groups with equal counts are drawn as one kind: single rows are of 27 kinds at most.
    kinds, number = np.unique(counts.reshape(size, -1), axis=0, return_counts=True)
    random, block = np.random.default_rng(SEED), max(1, _BLOCK // len(kinds))
    changes = []
    for start in range(0, RESAMPLES, block):
        drawn = random.multinomial(size, number / size, size=min(block, RESAMPLES - start)).astype(float)
        changes.append(_difference((drawn @ kinds).reshape(-1, *counts.shape[1:])))
    bound = np.quantile(np.concatenate(changes), 1 - level)
    return Change(float(_difference(counts.sum(axis=0))), float(bound))


def _difference(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the change of macro-F1 (…) of counts (… × 2 × 3 × 3)."""
    scores = macro_f1_of_counts(counts)
    return np.asarray(scores[..., 1] - scores[..., 0])


def confusion(truth: Classes, predicted: Classes) -> list[list[int]]:
    """Return the 3 × 3 counts: rows are the truth, columns the prediction."""
    counts: list[list[int]] = confusion_matrix(truth, predicted, labels=range(len(LABELS))).tolist()
    return counts


@dataclass(frozen=True)
class CalibrationBin:
    """Rows whose confidence falls in one bin: their number, mean confidence and accuracy."""

    rows: int
    confidence: float
    accuracy: float


def calibration_bins(truth: Classes, probabilities: NDArray[np.floating]) -> list[CalibrationBin]:
    """Return the non-empty ones of ten equal-width confidence bins: the reliability diagram's points."""
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == truth
    index = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    return [
        CalibrationBin(int(chosen.sum()), float(confidence[chosen].mean()), float(correct[chosen].mean()))
        for chosen in (index == number for number in range(CALIBRATION_BINS))
        if chosen.any()
    ]


def expected_calibration_error(truth: Classes, probabilities: NDArray[np.floating]) -> float:
    """Return the row-weighted mean |accuracy − confidence| over the bins (Naeini et al., AAAI 2015)."""
    bins = calibration_bins(truth, probabilities)
    return sum(point.rows * abs(point.accuracy - point.confidence) for point in bins) / len(truth)


def fit_temperature(logits: NDArray[np.floating], truth: Classes) -> float:
    """Return the temperature that minimises the negative log-likelihood of `truth` (Guo et al., ICML 2017)."""
    from scipy.optimize import minimize_scalar

    def negative_log_likelihood(log_temperature: float) -> float:
        probabilities = softmax(logits / np.exp(log_temperature))
        return float(-np.log(probabilities[np.arange(len(truth)), truth] + 1e-12).mean())

    bounds = (np.log(0.25), np.log(4.0))
    return float(np.exp(minimize_scalar(negative_log_likelihood, bounds=bounds, method="bounded").x))


def vader_predictions(texts: Sequence[str]) -> Classes:
    """Return VADER's classes at its authors' cut: compound ≥ 0.05 positive, ≤ −0.05 negative."""
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    analyzer = SentimentIntensityAnalyzer()
    compound = np.array([analyzer.polarity_scores(text)["compound"] for text in texts])
    return np.where(compound >= 0.05, 2, np.where(compound <= -0.05, 0, 1)).astype(np.int64)


def human_macro_f1(frame: pd.DataFrame, truth: Classes) -> float | None:
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
        scores.append(macro_f1(np.array([label for _, label in rated]), predicted))
    return float(np.mean(scores))
