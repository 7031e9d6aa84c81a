"""Macro-F1 of the predictions whose true labels are known, and the accuracy to expect where they are not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from feature_checks import scores
from feature_checks.contract import GROUP_ID, LABEL
from feature_checks.prediction_record import CONFIDENCE, TRUE_LABEL

RESAMPLES: Final = 2000


@dataclass(frozen=True)
class MacroF1:
    """Macro-F1 on labelled rows."""

    value: float
    """Macro-F1 (0…1)."""
    counts: NDArray[np.int64]
    """Hits, predictions and truths of each row (n × 3 × 3)."""
    seed: int = 0
    """Seed of the bootstrap."""

    @property
    def rows(self) -> int:
        """Return the number of labelled rows."""
        return len(self.counts)

    @cached_property
    def samples(self) -> NDArray[np.float64]:
        """Return macro-F1 of RESAMPLES bootstrap samples of the rows (percentile bootstrap, Efron 1979)."""
        shares = np.full(self.rows, 1 / self.rows)
        weights = np.random.default_rng(self.seed).multinomial(self.rows, shares, RESAMPLES)
        return scores.macro_f1_of_counts(np.einsum("sn,nij->sij", weights, self.counts))

    @property
    def interval(self) -> tuple[float, float]:
        """Return the 95 % interval."""
        low, high = np.quantile(self.samples, [0.025, 0.975])
        return float(low), float(high)


def macro_f1(frame: pd.DataFrame, min_rows: int, seed: int = 0) -> MacroF1 | None:
    """Return macro-F1 of the rows that have a true label, or None if fewer than `min_rows` rows have one.

    Example: `macro_f1(window.random_part, min_rows=100)`.
    """
    if not {LABEL, TRUE_LABEL} <= set(frame.columns):
        return None
    known = frame[frame[TRUE_LABEL].notna()]
    if len(known) < min_rows:
        return None
    truth, predicted = (scores.class_indices(known[column].tolist()) for column in (TRUE_LABEL, LABEL))
    counts = scores.row_counts(truth, predicted)
    return MacroF1(scores.macro_f1(truth, predicted), counts, seed)


@dataclass(frozen=True)
class ExpectedAccuracy:
    """The accuracy that the confidences of a window lead to expect."""

    value: float
    """A share (0…1)."""
    interval: tuple[float, float]
    """Holds the accuracy of the window in 95 % of cases, if the window is like the reference."""


def expected_accuracy(
    reference: pd.DataFrame, current: pd.DataFrame, min_rows: int, seed: int = 0
) -> ExpectedAccuracy | None:
    """Return the accuracy to expect of the current rows, without their labels.

    It is the mean confidence, plus the accuracy of the labelled reference rows, minus their mean confidence
    (*difference of confidences*, Guillory et al., ICCV 2021). That is worth nothing where the windows differ: a model
    may be sure of what it does not know. The interval resamples the reference by review (where `group_id` is known)
    and the current rows, and draws for each whether it is right: the accuracy of some hundred rows varies by chance.

    None if fewer than `min_rows` reference rows have a true label, or without confidences.

    Example: `expected_accuracy(reference.frame, window.frame, min_rows=100)`.
    """
    if not {LABEL, TRUE_LABEL, CONFIDENCE} <= set(reference.columns) or CONFIDENCE not in current.columns:
        return None
    known = reference[reference[TRUE_LABEL].notna()]
    if len(known) < min_rows or current.empty:
        return None
    random, confidence = np.random.default_rng(seed), current[CONFIDENCE].to_numpy(dtype=float)
    surplus = (known[LABEL] == known[TRUE_LABEL]).to_numpy(dtype=float) - known[CONFIDENCE].to_numpy(dtype=float)
    groups = known[GROUP_ID] if GROUP_ID in known.columns else pd.Series(range(len(known)))
    surpluses = _resampled_means(surplus, groups.astype(str).tolist(), random)
    drawn = confidence[random.integers(len(confidence), size=(RESAMPLES, len(confidence)))]
    right = random.random(drawn.shape) < np.clip(drawn + surpluses[:, None], 0, 1)
    low, high = np.quantile(right.mean(axis=1), [0.025, 0.975])
    value = float(np.clip(confidence.mean() + surplus.mean(), 0, 1))
    return ExpectedAccuracy(value, (float(low), float(high)))


def _resampled_means(
    values: NDArray[np.float64], groups: Sequence[str], random: np.random.Generator
) -> NDArray[np.float64]:
    """Return RESAMPLES means of n values, each over as many whole groups as there are."""
    _, group = np.unique(groups, return_inverse=True)
    sums, rows = np.bincount(group, weights=values), np.bincount(group)
    weights = random.multinomial(len(rows), np.full(len(rows), 1 / len(rows)), RESAMPLES)
    return np.asarray((weights @ sums) / (weights @ rows))


def smallest_fall(before: MacroF1, now: MacroF1, level: float) -> float:
    """Return a lower bound of the fall from `before` to `now` that holds with the probability `level`."""
    return float(np.quantile(before.samples - now.samples, 1 - level))
