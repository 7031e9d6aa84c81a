"""Brings the reference window to the mix of domains that the current window has.

A champion that was trained for several domains is good on any mix of them: traffic that moves from one to another is
no drift. The reference window of such a champion names the domain of each row in `source`. Before the detectors compare
the windows, the reference is sampled so that each of its domains has the same share as in the current window.
"""

from __future__ import annotations

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
"""A reference that would have fewer rows in the current mix is left as it is."""
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
    known, found = _domains(reference, current)
    return _sampled(reference, known, found)


def _domains(reference: pd.DataFrame, current: pd.DataFrame) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the predicted domain of each reference row and of each current row, as numbers."""
    counts = reference[SOURCE].value_counts()
    names = sorted(counts.index[counts >= MIN_SOURCE_ROWS])
    source = reference[SOURCE].map({name: number for number, name in enumerate(names)}).fillna(-1).astype(int)
    chosen = (source >= 0).to_numpy()
    texts = [normalise(text) for text in reference[TEXT]]
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), token_pattern=WORD_OR_SYMBOL, sublinear_tf=True)
    features = vectorizer.fit_transform(texts)
    classifier = LogisticRegression(class_weight="balanced", C=10.0)
    targets = source.to_numpy()[chosen]
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    changeable = (reference.loc[chosen, SOURCE] == FEEDBACK_SOURCE).to_numpy()
    for _ in range(ROUNDS):  # Labels that people gave are of old and new domains: what resembles an old one is one.
        predicted = cross_val_predict(classifier, features[chosen], targets, cv=folds)
        moved = np.where(changeable, predicted, targets)
        if np.bincount(moved, minlength=len(names)).min() < MIN_SOURCE_ROWS:
            break
        targets = moved
    known = np.zeros(len(reference), dtype=np.int64)
    known[chosen] = cross_val_predict(classifier, features[chosen], targets, cv=folds)
    classifier.fit(features[chosen], targets)
    if not chosen.all():
        known[~chosen] = classifier.predict(features[~chosen])
    found = classifier.predict(vectorizer.transform([normalise(text) for text in current[TEXT]]))
    return known, found.astype(np.int64)


def _sampled(reference: pd.DataFrame, known: NDArray[np.int64], found: NDArray[np.int64]) -> pd.DataFrame:
    domains = max(int(known.max()), int(found.max())) + 1
    available = np.bincount(known, minlength=domains)
    share = np.bincount(found, minlength=domains) / len(found)
    present = share > 0
    rows = float(np.min(available[present] / share[present]))
    if rows < MIN_MATCHED_ROWS:
        return reference
    random = np.random.default_rng(0)
    kept = [random.permutation(np.flatnonzero(known == domain))[: round(rows * share[domain])]
            for domain in range(domains)]  # fmt: skip
    return reference.iloc[np.sort(np.concatenate(kept))].reset_index(drop=True)
