"""The detectors: each measures how much one column differs between the reference window and the current window.

The detector `domain` is a classifier two-sample test (Lopez-Paz & Oquab, 2017): how well does an out-of-fold classifier
separate current texts from reference texts? Sentences of one review share words, so even two samples of the same domain
can be separated a little (AUC 0.62 for whole reviews of the default data). Texts of a new domain stand out differently:
the classifier ranks them at the very top, because no reference text resembles them. The score is therefore the partial
AUC at false-positive rates up to 5 %, standardised so that 0.5 means chance (McClish, 1989).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial.distance import jensenshannon
from scipy.stats import wasserstein_distance
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from feature_checks.contract import LABEL, TEXT, normalise
from feature_checks.prediction_record import CONFIDENCE, LENGTH, NON_LETTERS, WORDS
from monitoring.drift.unseen_words import UNSEEN_WORDS, WORD_OR_SYMBOL, with_unseen_words
from monitoring.drift_thresholds import Thresholds

DOMAIN: Final = "domain"
DOMAIN_SCORE: Final = "domain_score"

SHORT_CHARS: Final = 500
"""The words of texts of at most this length are kept for the next comparison, in about 50 MB at most."""
_ANALYZER: Final = TfidfVectorizer(ngram_range=(1, 2), token_pattern=WORD_OR_SYMBOL).build_analyzer()

Family = Literal["text", "prediction"]
Method = Literal["partial_auc", "wasserstein_normed", "jensen_shannon", "mean_rise"]
Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Detector:
    """One column of a window, and the method that compares its reference sample with its current sample."""

    name: str
    """Name of the detector in reports and thresholds."""
    column: str
    """Column of the window that is compared."""
    method: Method
    """Statistic that is computed."""
    watches: Family
    """Whether the column describes the texts or the predictions."""


DETECTORS: Final = (
    Detector(DOMAIN, DOMAIN_SCORE, "partial_auc", "text"),
    Detector(UNSEEN_WORDS, UNSEEN_WORDS, "mean_rise", "text"),
    Detector(LENGTH, LENGTH, "wasserstein_normed", "text"),
    Detector(WORDS, WORDS, "wasserstein_normed", "text"),
    Detector(NON_LETTERS, NON_LETTERS, "wasserstein_normed", "text"),
    Detector(LABEL, LABEL, "jensen_shannon", "prediction"),
    Detector(CONFIDENCE, CONFIDENCE, "wasserstein_normed", "prediction"),
)


@dataclass(frozen=True)
class Measurement:
    """The score of one detector, compared with its threshold."""

    detector: str
    """Name of the detector."""
    watches: str
    """Family of the detector: `text` or `prediction`."""
    method: str
    """Statistic that was computed."""
    score: float
    """Value of the statistic."""
    threshold: float
    """An alarm is a score at or above this value."""
    alarm: bool
    """Whether the score reaches the threshold."""

    def __str__(self) -> str:
        """Return the measurement in words."""
        relation = "reaches" if self.alarm else "stays below"
        return f"{self.detector} ({self.method}) {self.score:.3f} {relation} its threshold {self.threshold:.3f}"


def with_text_scores(reference: pd.DataFrame, current: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Add the columns that are computed from the texts of both windows: `domain_score` and `unseen_words`.

    Windows without texts are returned unchanged.

    Example: `scores(*with_text_scores(reference, current))`.
    """
    return with_unseen_words(*with_domain_scores(reference, current))


def with_domain_scores(
    reference: pd.DataFrame, current: pd.DataFrame, seed: int = 0
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Add `domain_score` to both windows: the out-of-fold probability (0…1) that a row is of the current window.

    Windows without texts are returned unchanged. The result is the same for the same seed.

    Example: `reference, current = with_domain_scores(reference, current)`.
    """
    if not (TEXT in reference.columns and TEXT in current.columns):
        return reference, current
    texts = [normalise(text) for frame in (reference, current) for text in frame[TEXT]]
    is_current = np.repeat([0, 1], [len(reference), len(current)])
    vectorizer = TfidfVectorizer(analyzer=_words_and_pairs, sublinear_tf=True)
    classifier = LogisticRegression(class_weight="balanced", solver="liblinear")
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    features = vectorizer.fit_transform(texts)
    scores = cross_val_predict(classifier, features, is_current, cv=folds, method="predict_proba")[:, 1]
    return (
        reference.assign(**{DOMAIN_SCORE: scores[: len(reference)]}),
        current.assign(**{DOMAIN_SCORE: scores[len(reference) :]}),
    )


def _words_and_pairs(text: str) -> list[str]:
    return _of_short_text(text) if len(text) <= SHORT_CHARS else list(_ANALYZER(text))


@lru_cache(maxsize=5_000)  # A reference window is compared with many windows.
def _of_short_text(text: str) -> list[str]:
    return list(_ANALYZER(text))


def available(reference: pd.DataFrame, current: pd.DataFrame) -> list[Detector]:
    """Return the detectors whose column is in both windows."""
    return [
        detector
        for detector in DETECTORS
        if detector.column in reference.columns and detector.column in current.columns
    ]


def scores(reference: pd.DataFrame, current: pd.DataFrame) -> dict[str, float]:
    """Return the score of every available detector, for windows that `with_text_scores` returned."""
    return {
        detector.name: METHODS[detector.method](reference[detector.column], current[detector.column])
        for detector in available(reference, current)
    }


def judge(measured: Mapping[str, float], thresholds: Thresholds, rows: tuple[int, int]) -> list[Measurement]:
    """Compare scores (by detector name) with the thresholds for windows of these sizes (reference, current)."""
    return [
        _measurement(detector, measured[detector.name], thresholds.of(detector.name, *rows))
        for detector in DETECTORS
        if detector.name in measured
    ]


def _measurement(detector: Detector, score: float, threshold: float) -> Measurement:
    alarm = score >= threshold
    return Measurement(detector.name, detector.watches, detector.method, score, threshold, alarm)


def _partial_auc(reference: Scores, current: Scores) -> float:
    is_current = np.repeat([0, 1], [len(reference), len(current)])
    return float(roc_auc_score(is_current, np.concatenate([reference, current]), max_fpr=0.05))


def _wasserstein_normed(reference: Scores, current: Scores) -> float:
    """Return the earth mover's distance, in standard deviations of the reference (at least 0.001)."""
    return float(wasserstein_distance(reference, current) / max(float(np.std(reference)), 0.001))


def _mean_rise(reference: Scores, current: Scores) -> float:
    """Return by how much the mean is larger, in standard deviations of the reference (at least 0.001)."""
    return float((np.mean(current) - np.mean(reference)) / max(float(np.std(reference)), 0.001))


def _jensen_shannon(reference: pd.Series[Any], current: pd.Series[Any]) -> float:
    """Return the Jensen-Shannon distance (base 2, 0…1) between the shares of the values."""
    shares = pd.DataFrame(
        {"reference": reference.value_counts(normalize=True), "current": current.value_counts(normalize=True)}
    ).fillna(0.0)
    return float(jensenshannon(shares["reference"], shares["current"], base=2))


METHODS: Final[Mapping[Method, Callable[[Any, Any], float]]] = {
    "partial_auc": _partial_auc,
    "wasserstein_normed": _wasserstein_normed,
    "jensen_shannon": _jensen_shannon,
    "mean_rise": _mean_rise,
}
