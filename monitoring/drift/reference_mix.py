"""Brings the reference window to the mix of domains that the current window has.

A champion that was trained for several domains is good on any mix of them: traffic that moves from one to another is
no drift. The reference window of such a champion names the domain of each row in `source`. Before the detectors compare
the windows, the reference is sampled so that each of its domains has the same share as in the current window.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from feature_checks.contract import FEEDBACK_SOURCE, SOURCE, TEXT, normalise
from monitoring.drift.unseen_words import WORD_OR_SYMBOL

MIN_SOURCE_ROWS: Final = 20
"""A source with fewer rows is no domain of its own."""
MIN_MATCHED_ROWS: Final = 25
"""A sample that would have fewer rows takes all rows of the domains that lack some, and rows of the others besides: a
champion that was trained with few labels of a new domain must not be compared with the old domain alone."""
FOLDS: Final = 5
ROUNDS: Final = 3
"""How often the domain of labelled rows is predicted again from what was predicted before."""


def with_matching_mix(reference: pd.DataFrame, current: pd.DataFrame) -> pd.DataFrame:
    """Return the largest sample of the reference in which each of its domains has its share of the current window.

    To which domain a text belongs is predicted for both windows alike, for reference rows by classifiers that have not
    seen them, because labels that people gave may be of several domains at once. The rows keep their order, and the
    same windows give the same sample. A reference of one source, and windows without texts, are returned unchanged.

    Example: `compare(with_matching_mix(reference, current), current)`.
    """
    if not ({SOURCE, TEXT} <= set(reference.columns) and TEXT in current.columns):
        return reference
    counts = reference[SOURCE].value_counts()
    if (counts >= MIN_SOURCE_ROWS).sum() < 2:
        return reference
    domains = _domains(reference)
    return _sampled(reference, domains.known, domains.predict([normalise(text) for text in current[TEXT]]))


@dataclass(frozen=True)
class _Domains:
    """The domains of a reference window."""

    known: NDArray[np.int64]
    """The predicted domain of each row, as a number."""
    predict: Callable[[Sequence[str]], NDArray[np.int64]]
    """Returns the domain of each text."""


def _domains(reference: pd.DataFrame) -> _Domains:
    texts = tuple(normalise(text) for text in reference[TEXT])
    return _learned(texts, tuple(reference[SOURCE].astype(str)))


@lru_cache(maxsize=2)  # A champion's reference window is compared with many windows.
def _learned(texts: tuple[str, ...], sources: tuple[str, ...]) -> _Domains:
    source = pd.Series(sources)
    counts = source.value_counts()
    names = sorted(counts.index[counts >= MIN_SOURCE_ROWS])
    numbers = source.map({name: number for number, name in enumerate(names)}).fillna(-1).astype(int)
    chosen = (numbers >= 0).to_numpy()
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), token_pattern=WORD_OR_SYMBOL, sublinear_tf=True)
    features = vectorizer.fit_transform(texts)
    classifier = LogisticRegression(class_weight="balanced", C=10.0)
    targets = numbers.to_numpy()[chosen]
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    changeable = (source[chosen] == FEEDBACK_SOURCE).to_numpy()
    for _ in range(ROUNDS):  # Labels that people gave are of old and new domains: what resembles an old one is one.
        predicted = cross_val_predict(classifier, features[chosen], targets, cv=folds)
        moved = np.where(changeable, predicted, targets)
        if np.bincount(moved, minlength=len(names)).min() < MIN_SOURCE_ROWS:
            break
        targets = moved
    known = np.zeros(len(texts), dtype=np.int64)
    known[chosen] = cross_val_predict(classifier, features[chosen], targets, cv=folds)
    classifier.fit(features[chosen], targets)
    if not chosen.all():
        known[~chosen] = classifier.predict(features[~chosen])
    return _Domains(known, lambda rows: classifier.predict(vectorizer.transform(rows)).astype(np.int64))


def _sampled(reference: pd.DataFrame, known: NDArray[np.int64], found: NDArray[np.int64]) -> pd.DataFrame:
    domains = max(int(known.max()), int(found.max())) + 1
    available = np.bincount(known, minlength=domains)
    share = np.bincount(found, minlength=domains) / len(found)
    present = share > 0
    rows = max(float(np.min(available[present] / share[present])), MIN_MATCHED_ROWS)
    counts = np.minimum(np.round(rows * share).astype(int), available)
    for domain in np.argsort(counts - available, kind="stable"):  # those with the most rows left come first
        missing = max(MIN_MATCHED_ROWS - int(counts.sum()), 0)
        counts[domain] += min(missing, int(available[domain] - counts[domain]))
    random = np.random.default_rng(0)
    kept = [random.permutation(np.flatnonzero(known == domain))[: counts[domain]] for domain in range(domains)]
    return reference.iloc[np.sort(np.concatenate(kept))].reset_index(drop=True)
