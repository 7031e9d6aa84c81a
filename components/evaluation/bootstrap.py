"""Confidence intervals and bounds by resampling whole reviews.

Rows of one review are not independent, so whole groups are resampled (Field & Welsh, JRSS B 2007). Bounds are
percentiles (Efron & Tibshirani 1993, ch. 13) of 2,000 resamples at a fixed seed; with only a few groups they are too
narrow.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Final

import numpy as np
from numpy.typing import NDArray

from components.results.evaluation import ClassIntervals
from components.results.gate_decision import Change, LikelihoodGain
from components.results.interval import Interval
from feature_checks.classifier import Probabilities
from feature_checks.contract import LABELS
from feature_checks.scores import Classes, class_scores_of_counts, macro_f1_of_counts, row_counts

RESAMPLES: Final = 2000
TAIL: Final = 20
MAX_RESAMPLES: Final = 100_000
SEED: Final = 0
CONFIDENCE: Final = 0.95
LEAST_PROBABILITY: Final = 0.01
"""A smaller probability of a true label counts as this one, so that few wrong labels cannot decide a comparison."""
_BLOCK: Final = 4_000_000
"""Most weights of the bootstrap that are held at once."""

Counts = NDArray[np.float64]


def macro_f1_change(
    truth: Classes,
    before: Classes,
    after: Classes,
    groups: Sequence[str],
    *,
    level: float,
    labels: Sequence[str] = LABELS,
) -> Change:
    """Return the change from the predictions `before` to `after` (n classes each) with its lower bound at `level`.

    A paired bootstrap (Berg-Kirkpatrick et al., EMNLP 2012): equal predictions give an equal bound. A level near 1
    takes more resamples, so that TAIL of them lie below the bound.
    """
    counts = np.stack([row_counts(truth, before), row_counts(truth, after)], axis=1)
    changes = _difference(_resampled_sums(counts, groups, _resamples(level)), labels)
    bound = np.quantile(changes, 1 - level)
    return Change(float(_difference(counts.sum(axis=0), labels)), float(bound), level)


def likelihood_gain(
    truth: Classes, before: Probabilities, after: Probabilities, groups: Sequence[str], *, level: float
) -> LikelihoodGain:
    """Return the mean gain in the log-probability of the true label (n classes, n x 3 each), bounded at `level`.

    The logarithmic score (Good, JRSS B 1952) is proper: no model gains by stating other probabilities than it has. It
    moves with every row, where macro-F1 moves only with rows whose predicted class changes, so that the same paired
    bootstrap sees a gain on far fewer rows.
    """
    rows = np.arange(len(truth))
    scores = [np.log(np.maximum(model[rows, truth].astype(float), LEAST_PROBABILITY)) for model in (before, after)]
    gains = np.stack([scores[1] - scores[0], np.ones(len(truth))], axis=1)
    sums = _resampled_sums(gains, groups, _resamples(level))
    bound = np.quantile(sums[:, 0] / sums[:, 1], 1 - level)
    return LikelihoodGain(float(gains[:, 0].mean()), float(bound), level)


def macro_f1_change_interval(
    truth: Classes, before: Classes, after: Classes, groups: Sequence[str], labels: Sequence[str] = LABELS
) -> Interval:
    """Return the 95 % interval of the change from the predictions `before` to `after`, by the same paired bootstrap."""
    counts = np.stack([row_counts(truth, before), row_counts(truth, after)], axis=1)
    return _interval(_difference(_resampled_sums(counts, groups), labels))


def macro_f1_interval(
    truth: Classes, predicted: Classes, groups: Sequence[str], labels: Sequence[str] = LABELS
) -> Interval:
    """Return the 95 % interval of macro-F1 over the rows (n classes each)."""
    return _interval(macro_f1_of_counts(_resampled_sums(row_counts(truth, predicted), groups), labels))


def class_intervals(truth: Classes, predicted: Classes, groups: Sequence[str]) -> dict[str, ClassIntervals]:
    """Return the 95 % intervals of precision, recall and F1 of each label."""
    sums = _resampled_sums(row_counts(truth, predicted), groups)
    precision, recall, f1 = class_scores_of_counts(sums)
    return {
        label: ClassIntervals(*(_interval(values[:, index]) for values in (precision, recall, f1)))
        for index, label in enumerate(LABELS)
    }


def share_interval(hits: NDArray[np.bool_], rows: NDArray[np.bool_], groups: Sequence[str]) -> Interval:
    """Return the 95 % interval of the share of `hits` among `rows` (n flags each, every hit one of the rows)."""
    sums = _resampled_sums(np.stack([hits, rows], axis=1).astype(np.int64), groups)
    return _interval(sums[sums[:, 1] > 0, 0] / sums[sums[:, 1] > 0, 1])


def mean_gap_interval(gaps: NDArray[np.float64], bins: NDArray[np.int64], groups: Sequence[str]) -> Interval:
    """Return the 95 % interval of Σ |sum of the gaps in a bin| / n, over n rows with a gap and a bin from 0 each.

    Resampling adds noise to a sum of absolute values, which chance has raised already. The basic bootstrap (Davison &
    Hinkley 1997, section 5.2) takes that off at the lower end: its bounds are twice the estimate minus the percentiles.
    """
    counts = np.zeros((len(gaps), int(bins.max()) + 1))
    counts[np.arange(len(gaps)), bins] = gaps
    sums = np.abs(_resampled_sums(counts, groups)).sum(axis=1) / len(gaps)
    estimate = float(np.abs(counts.sum(axis=0)).sum() / len(gaps))
    found = _interval(sums)
    return Interval(max(0.0, 2 * estimate - found.high), max(0.0, 2 * estimate - found.low))


def squared_gap(gaps: NDArray[np.float64], bins: NDArray[np.int64], groups: Sequence[str]) -> float:
    """Return the row-weighted mean of the squared mean gaps of the bins, without their noise; it can be below 0.

    There are n rows with a gap and a bin from 0 each. The square of a bin is the mean product of two gaps from
    different groups: a gap times itself would count its noise. A bin with one group counts as 0.
    """
    return float(_products(_moments(gaps, bins, groups).sum(axis=0)))


def squared_gap_interval(gaps: NDArray[np.float64], bins: NDArray[np.int64], groups: Sequence[str]) -> Interval:
    """Return the 95 % interval of `squared_gap`, by the basic bootstrap.

    Resampled, the figure varies around the squares of the plain means, which hold the noise of the groups.
    """
    moments = _moments(gaps, bins, groups)
    found = _interval(_products(_resampled_sums(moments, [str(number) for number in range(len(moments))])))
    total = moments.sum(axis=0)
    plain = np.divide(total[0] ** 2, total[1], out=np.zeros_like(total[0]), where=total[1] > 0).sum() / len(gaps)
    middle = float(_products(total) + plain)
    return Interval(middle - found.high, middle - found.low)


def _moments(gaps: NDArray[np.float64], bins: NDArray[np.int64], groups: Sequence[str]) -> Counts:
    """Return for each group the sum of gaps and the number of rows in each bin, and their squares (g × 4 × bins)."""
    _, group = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    width, size = int(bins.max()) + 1, int(group.max()) + 1
    cell = group * width + bins
    counted = [np.bincount(cell, weights, minlength=size * width) for weights in (gaps, None)]
    sums = np.stack([each.reshape(size, width) for each in counted], axis=1).astype(np.float64)
    return np.concatenate([sums, sums**2], axis=1)


def _products(moments: Counts) -> Counts:
    """Return `squared_gap` (…) from moments that are summed over the groups (… × 4 × bins)."""
    gaps, rows, squared_gaps, squared_rows = np.moveaxis(moments, -2, 0)
    pairs = rows**2 - squared_rows
    means = np.divide(gaps**2 - squared_gaps, pairs, out=np.zeros_like(pairs), where=pairs > 0)
    return np.asarray((rows * means).sum(axis=-1) / rows.sum(axis=-1))


def _resamples(level: float) -> int:
    """Return the number of resamples that leaves TAIL of them below a bound at `level`."""
    return min(max(RESAMPLES, ceil(TAIL / (1 - level))), MAX_RESAMPLES)


def _resampled_sums(counts: NDArray[np.number], groups: Sequence[str], resamples: int = RESAMPLES) -> Counts:
    """Return resamples × … sums of the rows' counts (n × …), each over as many groups as there are."""
    _, group = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    size = int(group.max()) + 1
    by_group = np.zeros((size, *counts.shape[1:]))
    np.add.at(by_group, group, counts)
    # Groups with equal counts are drawn as one kind: groups of a single row have few kinds.
    kinds, number = np.unique(by_group.reshape(size, -1), axis=0, return_counts=True)
    random, block = np.random.default_rng(SEED), max(1, _BLOCK // len(kinds))
    sums = []
    for start in range(0, resamples, block):
        drawn = random.multinomial(size, number / size, size=min(block, resamples - start)).astype(float)
        sums.append((drawn @ kinds).reshape(-1, *counts.shape[1:]))
    return np.concatenate(sums)


def _difference(counts: NDArray[np.number], labels: Sequence[str]) -> Counts:
    """Return the change of macro-F1 (…) of counts (… × 2 × 3 × 3)."""
    scores = macro_f1_of_counts(counts, labels)
    return np.asarray(scores[..., 1] - scores[..., 0])


def _interval(values: Counts) -> Interval:
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return Interval(float(low), float(high))
