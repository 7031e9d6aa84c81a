"""Brings the reference window to the mix of domains that the current window has.

A champion that was trained for several domains is good on any mix of them: traffic that moves from one to another is
no drift. The reference window of such a champion names the domain of each row in `source`. Before the detectors compare
the windows, the reference is sampled so that each of its domains has the same share as in the current window.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from feature_checks.contract import FEEDBACK_SOURCE, SOURCE, TEXT, normalise

MIN_SOURCE_ROWS: Final = 20
"""A source with fewer rows is no domain of its own."""
MIN_MATCHED_ROWS: Final = 25
"""A sample that would have fewer rows takes all rows of the domains that lack some, and rows of the others besides: a
champion that was trained with few labels of a new domain must not be compared with the old domain alone."""
FOLDS: Final = 5
MAX_KNOWN_TEXTS: Final = 10_000
"""Current texts whose domains are kept: a text often comes again in a later window."""
PARTS: Final = 3
"""Parts of a domain by how sure the classifiers are, each with the same number of current rows."""


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
    known, found = _strata(domains.known, domains.predict([normalise(text) for text in current[TEXT]]))
    return _sampled(reference, known, found)


@dataclass(frozen=True)
class _Domains:
    """The domains of a reference window."""

    known: NDArray[np.float64]
    """The probability of each domain for each row (n × domains), by classifiers that have not seen the row."""
    predict: Callable[[Sequence[str]], NDArray[np.float64]]
    """Returns the probability of each domain for each text, by the same classifiers."""


def _domains(reference: pd.DataFrame) -> _Domains:
    texts = tuple(normalise(text) for text in reference[TEXT])
    return _learned(texts, tuple(reference[SOURCE].astype(str)))


@lru_cache(maxsize=2)  # A champion's reference window is compared with many windows.
def _learned(texts: tuple[str, ...], sources: tuple[str, ...]) -> _Domains:
    source = pd.Series(sources)
    counts = source.value_counts()
    names = sorted(counts.index[counts >= MIN_SOURCE_ROWS])
    numbers = source.map({name: number for number, name in enumerate(names)})
    targets: NDArray[np.int64] = numbers.fillna(-1).to_numpy(dtype=np.int64)
    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4), sublinear_tf=True)
    features = vectorizer.fit_transform(texts)
    changeable = (source == FEEDBACK_SOURCE).to_numpy() & (targets >= 0)
    # Labels that people gave are of old and new domains: what resembles an old one is one.
    moved = np.where(changeable, _cross_fitted(features, targets)[0].argmax(axis=1), targets).astype(np.int64)
    if np.bincount(moved[moved >= 0], minlength=len(names)).min() >= MIN_SOURCE_ROWS:
        targets = moved
    known, models = _cross_fitted(features, targets)
    found: dict[str, NDArray[np.float64]] = {}

    def predict(rows: Sequence[str]) -> NDArray[np.float64]:
        if missing := [text for text in dict.fromkeys(rows) if text not in found]:
            new = vectorizer.transform(missing)
            found.update(zip(missing, np.mean([model.predict_proba(new) for model in models], axis=0), strict=True))
        predicted = np.array([found[text] for text in rows])
        if len(found) > MAX_KNOWN_TEXTS:
            found.clear()
        return predicted

    return _Domains(known, predict)


def _cross_fitted(features: Any, targets: NDArray[np.int64]) -> tuple[NDArray[np.float64], list[LogisticRegression]]:
    """Return the probability of each domain for each row, and the classifiers of all folds; -1 is no domain."""
    models = []
    known = np.zeros((len(targets), int(targets.max()) + 1))
    chosen = np.flatnonzero(targets >= 0)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(chosen, targets[chosen])
    for train, held_out in folds:
        model = LogisticRegression(class_weight="balanced", C=10.0)
        models.append(model.fit(features[chosen[train]], targets[chosen[train]]))
        known[chosen[held_out]] = model.predict_proba(features[chosen[held_out]])
    if len(others := np.flatnonzero(targets < 0)):
        known[others] = np.mean([model.predict_proba(features[others]) for model in models], axis=0)
    return known, models


def _strata(known: NDArray[np.float64], found: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the stratum of each reference row and of each current row: its domain, and how sure that is.

    Texts of a new domain that resemble an old one are thus compared with rows between the two, not with typical ones.
    """
    strata = [probabilities.argmax(axis=1) * PARTS for probabilities in (known, found)]
    sure = [probabilities.max(axis=1) for probabilities in (known, found)]
    for domain in range(found.shape[1]):
        chosen = [rows == domain * PARTS for rows in strata]
        if chosen[1].sum() >= PARTS * MIN_SOURCE_ROWS:
            edges = np.quantile(sure[1][chosen[1]], np.arange(1, PARTS) / PARTS)
            for rows, those, values in zip(strata, chosen, sure, strict=True):
                rows[those] += np.searchsorted(edges, values[those])
    return strata[0], strata[1]


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
