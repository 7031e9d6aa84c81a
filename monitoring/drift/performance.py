"""Macro-F1 of the predictions whose true labels are known, with a bootstrap interval."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from feature_checks import scores
from feature_checks.contract import LABEL
from feature_checks.prediction_record import TRUE_LABEL

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


def smallest_fall(before: MacroF1, now: MacroF1, level: float) -> float:
    """Return a lower bound of the fall from `before` to `now` that holds with the probability `level`."""
    return float(np.quantile(before.samples - now.samples, 1 - level))
