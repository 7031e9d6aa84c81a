"""Macro-F1 and the scores it is made of: the one definition that training, the gate, monitoring and the demo use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from feature_checks.contract import LABELS

Classes = NDArray[np.int64]
"""n class indices in contract order."""
Scores = NDArray[np.float64]

_ONE_HOT: Final = np.eye(len(LABELS), dtype=np.int64)


def class_indices(labels: Sequence[str]) -> Classes:
    """Return the contract's index of each label. Raises ValueError for a text that is no label."""
    return np.array([LABELS.index(label) for label in labels], dtype=np.int64)


def macro_f1(truth: Classes, predicted: Classes, labels: Sequence[str] = LABELS) -> float:
    """Return the unweighted mean of the F1 of `labels`; a class neither predicted nor present counts 0.

    `labels` is shorter only for data without neutral rows, where a third F1 could never be above 0.

    Example: `macro_f1(class_indices(frame["label"]), class_indices(predicted))`.
    """
    return float(macro_f1_of_counts(row_counts(truth, predicted).sum(axis=0), labels))


def row_counts(truth: Classes, predicted: Classes) -> NDArray[np.int64]:
    """Return n × 3 × 3 zeros and ones: for each row and class whether the class is hit, predicted, and true.

    Macro-F1 depends only on their sums over rows.
    """
    true, found = _ONE_HOT[truth], _ONE_HOT[predicted]
    return np.stack([true * found, found, true], axis=1)


def class_scores_of_counts(counts: NDArray[np.number]) -> tuple[Scores, Scores, Scores]:
    """Return precision, recall and F1 (… × 3 each) of summed row counts (… × 3 × 3); 0 where undefined."""
    hit, predicted, true = np.moveaxis(counts, -2, 0)
    return _share(hit, predicted), _share(hit, true), _share(2 * hit, predicted + true)


def macro_f1_of_counts(counts: NDArray[np.number], labels: Sequence[str] = LABELS) -> Scores:
    """Return the macro-F1 (…) over `labels` of summed row counts (… × 3 × 3): F1 = 2 · hit / (predicted + true)."""
    _, _, f1 = class_scores_of_counts(counts)
    return np.asarray(f1[..., class_indices(labels)].mean(axis=-1))


def _share(part: NDArray[np.number], total: NDArray[np.number]) -> Scores:
    result: Scores = np.divide(part, total, out=np.zeros(total.shape), where=total > 0)
    return result
