"""Macro-F1, from one definition wherever it is measured: when training, gating, and in the demo."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from feature_checks.contract import LABELS

Classes = NDArray[np.int64]
"""n class indices in contract order."""

_ONE_HOT: Final = np.eye(len(LABELS), dtype=np.int64)


def class_indices(labels: Sequence[str]) -> Classes:
    """Return the contract's index of each label."""
    return np.array([LABELS.index(label) for label in labels], dtype=np.int64)


def macro_f1(truth: Classes, predicted: Classes) -> float:
    """Return the unweighted mean of the three classes' F1; a class never predicted nor present counts 0."""
    return float(macro_f1_of_counts(row_counts(truth, predicted).sum(axis=0)))


def row_counts(truth: Classes, predicted: Classes) -> NDArray[np.int64]:
    """Return n × 3 × 3 zeros and ones: for each row and class whether the class is hit, predicted, and true.

    Sums over rows are what macro-F1 depends on.
    """
    true, found = _ONE_HOT[truth], _ONE_HOT[predicted]
    return np.stack([true * found, found, true], axis=1)


def macro_f1_of_counts(counts: NDArray[np.number]) -> NDArray[np.float64]:
    """Return the macro-F1 (…) of summed row counts (… × 3 × 3): F1 = 2 · hit / (predicted + true)."""
    hit, predicted, true = np.moveaxis(counts, -2, 0)
    total = predicted + true
    f1: NDArray[np.float64] = np.divide(2 * hit, total, out=np.zeros(total.shape), where=total > 0)
    return np.asarray(f1.mean(axis=-1))
