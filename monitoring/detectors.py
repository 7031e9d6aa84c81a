"""What is measured between a reference and a current window: one score for each detector.

`domain` is a classifier two-sample test (Lopez-Paz & Oquab, 2017): how well can an out-of-fold classifier tell
current texts from reference texts? Sentences of one review share words, so two honest samples of one domain are
told apart a little everywhere (AUC 0.62 for whole reviews of the default data). A new domain shows at the top of the
ranking instead: rows that no reference row looks like. So the score is the partial AUC at false-positive rates up to
5 %, standardised to 0.5 = chance (McClish, 1989).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial.distance import jensenshannon
from scipy.stats import wasserstein_distance
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from feature_checks.contract import LABEL, LABELS, TEXT, normalise
from monitoring.thresholds import Thresholds

DOMAIN: Final = "domain"
DOMAIN_SCORE: Final = "domain_score"
LENGTH: Final = "length"
WORDS: Final = "words"
NON_LETTERS: Final = "non_letters"
CONFIDENCE: Final = "confidence"
TRUE_LABEL: Final = "true_label"

# Punctuation and symbols are tokens too: no visible text is empty, whatever its language.
_WORD_OR_SYMBOL: Final = r"\w+|[^\w\s]"

Family = Literal["text", "prediction"]
Method = Literal["partial_auc", "wasserstein_normed", "jensen_shannon"]
Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Detector:
    """One watched column and how its two samples are compared."""

    name: str
    column: str
    method: Method
    watches: Family


DETECTORS: Final = (
    Detector(DOMAIN, DOMAIN_SCORE, "partial_auc", "text"),
    Detector(LENGTH, LENGTH, "wasserstein_normed", "text"),
    Detector(WORDS, WORDS, "wasserstein_normed", "text"),
    Detector(NON_LETTERS, NON_LETTERS, "wasserstein_normed", "text"),
    Detector(LABEL, LABEL, "jensen_shannon", "prediction"),
    Detector(CONFIDENCE, CONFIDENCE, "wasserstein_normed", "prediction"),
)


@dataclass(frozen=True)
class Measurement:
    """One detector's outcome."""

    detector: str
    watches: str
    method: str
    score: float
    threshold: float
    alarm: bool

    def __str__(self) -> str:
        """Return the outcome in words."""
        relation = "reaches" if self.alarm else "stays below"
        return f"{self.detector} ({self.method}) {self.score:.3f} {relation} its threshold {self.threshold:.3f}"


def with_domain_scores(
    reference: pd.DataFrame, current: pd.DataFrame, seed: int = 0
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return both windows with `domain_score`: the out-of-fold probability that a row is of the current window.

    Windows without texts come back as they are. Deterministic for a seed.
    """
    if not (TEXT in reference.columns and TEXT in current.columns):
        return reference, current
    texts = [normalise(text) for frame in (reference, current) for text in frame[TEXT]]
    is_current = np.repeat([0, 1], [len(reference), len(current)])
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), token_pattern=_WORD_OR_SYMBOL, sublinear_tf=True)
    classifier = LogisticRegression(class_weight="balanced", solver="liblinear")
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    features = vectorizer.fit_transform(texts)
    scores = cross_val_predict(classifier, features, is_current, cv=folds, method="predict_proba")[:, 1]
    return (
        reference.assign(**{DOMAIN_SCORE: scores[: len(reference)]}),
        current.assign(**{DOMAIN_SCORE: scores[len(reference) :]}),
    )


def available(reference: pd.DataFrame, current: pd.DataFrame) -> list[Detector]:
    """Return the detectors whose column both windows have."""
    return [one for one in DETECTORS if one.column in reference.columns and one.column in current.columns]


def scores(reference: pd.DataFrame, current: pd.DataFrame) -> dict[str, float]:
    """Return the score of every available detector; windows are as `with_domain_scores` returns them."""
    return {
        one.name: METHODS[one.method](reference[one.column], current[one.column])
        for one in available(reference, current)
    }


def judge(found: Mapping[str, float], thresholds: Thresholds, rows: tuple[int, int]) -> list[Measurement]:
    """Compare scores with the thresholds for windows of these sizes (reference, current)."""
    outcome = []
    for one in DETECTORS:
        if one.name in found:
            score, threshold = found[one.name], thresholds.of(one.name, *rows)
            outcome.append(Measurement(one.name, one.watches, one.method, score, threshold, alarm=score >= threshold))
    return outcome


def macro_f1(frame: pd.DataFrame, min_rows: int) -> float | None:
    """Return macro-F1 of the predictions where the true label is known; None below `min_rows` of them."""
    if not {LABEL, TRUE_LABEL} <= set(frame.columns):
        return None
    known = frame[frame[TRUE_LABEL].notna()]
    if len(known) < min_rows:
        return None
    return float(f1_score(known[TRUE_LABEL], known[LABEL], labels=list(LABELS), average="macro", zero_division=0.0))


def _partial_auc(reference: Scores, current: Scores) -> float:
    is_current = np.repeat([0, 1], [len(reference), len(current)])
    return float(roc_auc_score(is_current, np.concatenate([reference, current]), max_fpr=0.05))


def _wasserstein_normed(reference: Scores, current: Scores) -> float:
    """Earth mover's distance in standard deviations of the reference (at least 0.001)."""
    return float(wasserstein_distance(reference, current) / max(float(np.std(reference)), 0.001))


def _jensen_shannon(reference: pd.Series[Any], current: pd.Series[Any]) -> float:
    """Jensen-Shannon distance (base 2, 0…1) of the values' shares."""
    shares = pd.DataFrame(
        {"reference": reference.value_counts(normalize=True), "current": current.value_counts(normalize=True)}
    ).fillna(0.0)
    return float(jensenshannon(shares["reference"], shares["current"], base=2))


METHODS: Final[Mapping[Method, Callable[[Any, Any], float]]] = {
    "partial_auc": _partial_auc,
    "wasserstein_normed": _wasserstein_normed,
    "jensen_shannon": _jensen_shannon,
}
