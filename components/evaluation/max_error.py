"""Finds the confidence from which on a text may be answered, so that at most a given share of the answers is wrong.

The method is Learn then Test (Angelopoulos, Bates, Candès, Jordan & Lei, *Annals of Applied Statistics* 2025):
thresholds of the confidence are tested from high to low, each at the level d = 1 - LEVEL, until one fails. Such a fixed
sequence needs no correction for the number of tests, because a threshold with too many errors is accepted only if the
first such threshold of the sequence is.

**One test.** Of n answered validation texts k are wrong, and a is the accepted share. A further batch of n answered
texts breaks the limit if more than a n of them are wrong. If the 2 n texts are exchangeable and T of them are wrong, k
is hypergeometric. A batch that breaks the limit has T ≥ k + floor(a n) + 1, so the threshold is accepted only if

    P(Hypergeometric(2 n, k + floor(a n) + 1, n) ≤ k) ≤ d.

Then the chance that it is accepted and the batch breaks the limit is at most d, for every n, without any approximation.
This is stricter than a binomial test, so that the expected error is at most a with the same confidence too. The errors
of the batch vary as those of the validation split do; a test of the expected error alone lets more than a tenth of such
batches break the limit (`docs/results.md`).

**What is proved.** Of the threshold that the sequence ends at, Learn then Test proves that its expected error is at
most a with the confidence 1 - d. That a further batch keeps the limit is proved for each threshold by itself; for the
one that the sequence ends at it is measured (`tests/benchmarks/accepted_errors.py`, and by simulation in the tests).

**Reviews.** Texts of one review are not exchangeable with others. The counts are divided by the design effect
1 + ρ (Σ m² / Σ m - 1) for reviews with m answered texts (Kish, *Survey Sampling*, 1965), and then used as if the texts
were independent (Rao & Scott, *Biometrics* 1992). ρ is the correlation of errors within a review, estimated over all
validation texts, and at least MIN_CORRELATION. With one text for each review the divisor is 1, and the test is exact.

**Start.** The sequence begins at the highest threshold with so many answers that ALLOWED_ERRORS wrong ones would be
accepted. That depends on the confidences alone, and is safe if texts of a higher confidence are not wrong more often.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from components.evaluation import bootstrap
from components.results.max_error import Answers, CoveragePoint, LimitResult
from feature_checks.classifier import Probabilities
from feature_checks.contract import GROUP_ID, LABEL
from feature_checks.documents.max_error import LIMITS, MaxErrors
from feature_checks.scores import Classes, class_indices

LEVEL: Final = 0.95
"""The confidence with which an entry of the table keeps its limit."""

MIN_CORRELATION: Final = 0.05
"""The least correlation of errors within a review that is reckoned with: some 40 reviews estimate it badly."""

ALLOWED_ERRORS: Final = 1
"""The sequence begins where so many errors would be accepted: at its very top one unlucky text would end it."""

SHOWN: Final = (0.05, 0.1, 0.15)
"""The accepted errors in the card, the evaluation and the gate."""

_THRESHOLDS: Final = tuple(percent / 100 for percent in range(99, 33, -1))
"""The tested confidences, in their order. No label can have less than a third."""

Flags = NDArray[np.bool_]


def calibrate(
    truth: Classes, probabilities: Probabilities, groups: Sequence[str], limits: Sequence[float] = LIMITS
) -> MaxErrors:
    """Return the table from validation texts: n true classes, n × 3 probabilities, and the review of each text.

    Example: `calibrate(truth, probabilities, groups).confidence_for(0.1)`.
    """
    confidence, wrong = probabilities.max(axis=1), probabilities.argmax(axis=1) != truth
    _, review = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    correlation = max(error_correlation(wrong, review), MIN_CORRELATION)
    counted = []
    for threshold in _THRESHOLDS:
        answered = confidence >= threshold
        answers, errors = int(answered.sum()), int(wrong[answered].sum())
        counted.append((threshold, answers, errors, design_effect(review[answered], correlation)))
    confidences = [_lowest_accepted(limit, counted) for limit in limits]
    return MaxErrors(tuple(limits), confidences, LEVEL, reviews=int(review.max()) + 1, texts=len(truth))


def _lowest_accepted(limit: float, counted: Sequence[tuple[float, int, int, float]]) -> float | None:
    """Return the lowest threshold that the sequence of tests reaches; None if it ends at its first one.

    `counted` has threshold, answers, errors and design effect, the highest threshold first.
    """
    accepted = None
    for threshold, answers, errors, effect in counted:
        if tail_probability(ALLOWED_ERRORS, answers, limit) > 1 - LEVEL:
            continue
        if tail_probability(ceil(errors / effect), floor(answers / effect), limit) > 1 - LEVEL:
            break
        accepted = threshold
    return accepted


def tail_probability(errors: int, answers: int, limit: float) -> float:
    """Return the chance of so few errors if as many further answers hold more errors than the limit allows.

    Example: `tail_probability(0, 40, 0.1)` is 0.027.
    """
    from scipy.stats import hypergeom

    allowed = floor(limit * answers + 1e-9)  # 0.15 * 20 is a little less than 3.
    total = errors + allowed + 1
    if errors > answers or allowed >= answers:
        return 1.0
    return float(hypergeom.cdf(errors, 2 * answers, total, answers))


def error_correlation(wrong: Flags, review: NDArray[np.integer]) -> float:
    """Return the correlation of two texts of one review in being wrong (n flags, n review numbers from 0); at least 0.

    The method of moments: the sum of errors of a review with m texts has the variance p (1 - p) (m + ρ m (m - 1)).
    """
    texts = np.bincount(review)
    pairs = float((texts * (texts - 1)).sum())
    share = float(wrong.mean())
    if not pairs or share in (0.0, 1.0):
        return 0.0
    squares = (np.bincount(review, weights=wrong) - share * texts) ** 2
    return max(0.0, float(squares.sum() / (share * (1 - share)) - texts.sum()) / pairs)


def design_effect(review: NDArray[np.integer], correlation: float) -> float:
    """Return by how much the variance of a share grows because texts come in reviews; 1 without any text."""
    texts = np.bincount(review)
    return 1 + correlation * (float((texts**2).sum()) / len(review) - 1) if len(review) else 1.0


def answers_of(
    validation: pd.DataFrame, calibration: Probabilities, test: pd.DataFrame, probabilities: Probabilities
) -> Answers | None:
    """Return what a table from the validation rows does on the test rows, from n × 3 probabilities of each.

    None if there are no validation rows or no test rows.
    """
    table = table_of(validation, calibration)
    if table is None or test.empty:
        return None
    return judge_answers(table, test, probabilities)


def table_of(validation: pd.DataFrame, probabilities: Probabilities) -> MaxErrors | None:
    """Return the table from validation rows and their n × 3 probabilities; None if there are none."""
    if validation.empty:
        return None
    return calibrate(
        class_indices(validation[LABEL].tolist()), probabilities, validation[GROUP_ID].astype(str).tolist()
    )


def judge_answers(table: MaxErrors, test: pd.DataFrame, probabilities: Probabilities) -> Answers:
    """Return coverage and error among the answered on rows that the table was not calibrated on (n × 3)."""
    truth, groups = class_indices(test[LABEL].tolist()), test[GROUP_ID].astype(str).tolist()
    confidence, wrong = probabilities.max(axis=1), probabilities.argmax(axis=1) != truth

    def result(limit: float) -> LimitResult:
        needed = table.confidence_for(limit)
        answered = confidence >= (np.inf if needed is None else needed)
        if not answered.any():
            return LimitResult(limit, needed, 0, 0.0, None, None)
        interval = bootstrap.share_interval(wrong & answered, answered, groups)
        return LimitResult(
            limit, needed, int(answered.sum()), float(answered.mean()), float(wrong[answered].mean()), interval
        )

    curve = []
    for threshold in reversed(_THRESHOLDS):
        answered = confidence >= threshold
        if answered.any():
            curve.append(CoveragePoint(threshold, float(answered.mean()), float(wrong[answered].mean())))
    return Answers(len(truth), table.reviews, table.texts, [result(limit) for limit in SHOWN], curve)
