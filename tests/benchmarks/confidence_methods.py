"""Other methods for calibration and for the expected accuracy, on the splits of `tests.benchmarks.accepted_errors`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from components.evaluation import bootstrap, metrics
from feature_checks.classifier import Probabilities, softmax
from feature_checks.contract import GROUP_ID, LABEL, SPLIT
from feature_checks.prediction_record import CONFIDENCE, TRUE_LABEL
from feature_checks.scores import Classes, class_indices
from monitoring.drift.performance import expected_accuracy
from monitoring.windows.reference import reference_window

WINDOW_ROWS: Final = 500
MORE_SPLITS: Final = 400
RESAMPLES: Final = 2000
REFERENCE_REVIEWS: Final = (41, 93, 200, 400)

Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]


def divided(held_out: pd.DataFrame, splits: int) -> Iterator[Flags]:
    """Yield the rows to calibrate on: as many random reviews as the validation split has."""
    groups = held_out[GROUP_ID].astype(str)
    reviews, size = groups.unique(), groups[held_out[SPLIT] == "validation"].nunique()
    random = np.random.default_rng(0)
    for _ in range(splits):
        yield groups.isin(random.permutation(reviews)[:size]).to_numpy()


Confident = tuple[Floats, Classes]
"""The confidence and the label of each of n rows."""


def confident(probabilities: NDArray[np.floating]) -> Confident:
    """Return the confidence and the label of n × 3 probabilities."""
    return probabilities.max(axis=1).astype(np.float64), probabilities.argmax(axis=1).astype(np.int64)


def uncalibrated(logits: Floats, truth: Classes, fitted: Flags) -> Confident:
    """Return what the logits say."""
    del truth, fitted
    return confident(softmax(logits))


def scaled(logits: Floats, truth: Classes, fitted: Flags) -> Confident:
    """Return what the logits say at the temperature of the fitted rows."""
    return confident(softmax(logits / metrics.fit_temperature(logits[fitted], truth[fitted])))


def shifted(logits: Floats, truth: Classes, fitted: Flags, scales: int = 1) -> Confident:
    """Return the same with a constant for each class, and one scale or one for each class; labels may change.

    With three scales it is vector scaling (Guo et al., ICML 2017).
    """
    from scipy.optimize import minimize
    from scipy.special import log_softmax

    def changed(values: Floats) -> Floats:
        return np.asarray(logits * values[:scales] + np.append(values[scales:], 0.0))

    def loss(values: Floats) -> float:
        rows = log_softmax(changed(values)[fitted], axis=1)
        return float(-rows[np.arange(len(rows)), truth[fitted]].mean())

    return confident(softmax(changed(minimize(loss, np.append(np.ones(scales), [0.0, 0.0])).x)))


def vector_scaled(logits: Floats, truth: Classes, fitted: Flags) -> Confident:
    """Return `shifted` with a scale for each class."""
    return shifted(logits, truth, fitted, scales=3)


def monotonic(logits: Floats, truth: Classes, fitted: Flags) -> Confident:
    """Return the labels with the share of right ones at their confidence, by an isotonic regression."""
    from sklearn.isotonic import IsotonicRegression

    confidence, labels = scaled(logits, truth, fitted)
    regression = IsotonicRegression(out_of_bounds="clip").fit(confidence[fitted], (labels == truth)[fitted])
    return regression.predict(confidence), labels


CALIBRATIONS: Final[dict[str, Callable[[Floats, Classes, Flags], Confident]]] = {
    "none": uncalibrated,
    "temperature": scaled,
    "isotonic": monotonic,
    "temperature_and_constants": shifted,
    "vector_scaling": vector_scaled,
}
"""Take n × 3 logits, n true classes and the rows to fit on."""


def calibrations(held_out: pd.DataFrame, rows: Probabilities, temperature: float) -> dict[str, Any]:
    """Return the calibration errors of each method on the rows that it was not fitted on: means over the splits."""
    truth, groups = class_indices(held_out[LABEL].tolist()), held_out[GROUP_ID].astype(str).to_numpy()
    logits = np.log(np.maximum(rows, 1e-9)).astype(np.float64) * temperature
    figures: dict[str, list[Floats]] = {name: [] for name in CALIBRATIONS}
    for fitted in divided(held_out, MORE_SPLITS):
        for name, method in CALIBRATIONS.items():
            confidence, labels = method(logits, truth, fitted)
            tested = ~fitted
            figures[name].append(_errors(confidence[tested], (labels == truth)[tested], groups[tested].tolist()))
    names = ("expected_calibration_error", "debiased", "squared_error", "accuracy")
    means = {name: np.mean(found, axis=0) for name, found in figures.items()}
    return {
        name: dict(zip(names, (mean[0], max(0.0, mean[1]) ** 0.5, *mean[2:]), strict=True))
        for name, mean in means.items()
    }


def _errors(confidence: Floats, hits: Flags, groups: list[str]) -> Floats:
    gaps = hits - confidence
    bins = np.minimum((confidence * metrics.CALIBRATION_BINS).astype(np.int64), metrics.CALIBRATION_BINS - 1)
    error = np.abs(np.bincount(bins, weights=gaps)).sum() / len(gaps)
    return np.array([error, bootstrap.squared_gap(gaps, bins, groups), (gaps**2).mean(), hits.mean()])


def accuracies(held_out: pd.DataFrame, rows: Probabilities) -> dict[str, Any]:
    """Return how far the expected accuracy of 500 rows is from the true one, over many splits by whole review."""
    window = reference_window(held_out, rows)
    right = np.asarray(window[LABEL] == window[TRUE_LABEL], dtype=np.float64)
    confidence = window[CONFIDENCE].to_numpy(dtype=float)
    random = np.random.default_rng(1)
    gaps: dict[str, list[float]] = {name: [] for name in ("used", *ESTIMATORS, "chance_alone")}
    covered = []
    for reference in divided(held_out, MORE_SPLITS):
        current = random.permutation(np.flatnonzero(~reference))[:WINDOW_ROWS]
        found = expected_accuracy(window[reference], window.iloc[current], min_rows=100)
        assert found is not None
        true = float(right[current].mean())
        covered.append(found.interval[0] <= true <= found.interval[1])
        gaps["used"].append(found.value - true)
        for name, estimate in ESTIMATORS.items():
            gaps[name].append(estimate(confidence[reference], right[reference], confidence[current]) - true)
        # What a model that knew its own chances exactly would miss the accuracy of so few rows by.
        gaps["chance_alone"].append(random.binomial(len(current), true) / len(current) - true)
    return {
        "in_the_interval": float(np.mean(covered)),
        **{name: spread(np.array(found)) for name, found in gaps.items()},
    }


def spread(gaps: Floats) -> dict[str, float]:
    """Return how large n gaps are."""
    return {
        "mean": float(gaps.mean()),
        "mean_absolute": float(np.abs(gaps).mean()),
        "within_3_points": float((np.abs(gaps) <= 0.03).mean()),
    }


def threshold_share(confidence: Floats, right: Floats, current: Floats) -> float:
    """Return the share of current rows above the confidence that the right share of the reference rows reaches.

    This is average thresholded confidence (Garg et al., ICLR 2022).
    """
    return float((current > np.quantile(confidence, 1 - right.mean())).mean())


def isotonic(confidence: Floats, right: Floats, current: Floats) -> float:
    """Return the mean of the current confidences after an isotonic regression on the reference rows."""
    from sklearn.isotonic import IsotonicRegression

    return float(IsotonicRegression(out_of_bounds="clip").fit(confidence, right).predict(current).mean())


ESTIMATORS: Final[dict[str, Callable[[Floats, Floats, Floats], float]]] = {
    "difference_of_confidences": lambda confidence, right, current: float(
        current.mean() + right.mean() - confidence.mean()
    ),
    "mean_confidence": lambda _confidence, _right, current: float(current.mean()),
    "accuracy_of_the_reference": lambda _confidence, right, _current: float(right.mean()),
    "average_thresholded_confidence": threshold_share,
    "isotonic": isotonic,
}
"""Take confidences and hits of the reference rows, and the confidences of the current ones."""


def resampled_accuracies(held_out: pd.DataFrame, rows: Probabilities) -> dict[str, Any]:
    """Return the gaps of each method by the number of reference reviews, the held-out reviews taken for all there are.

    The reviews of both windows are drawn with replacement, so that the two are independent. The parts of a split are
    not: what one has too few of, the other has too many of, and a method that ignores the reference looks too good.
    """
    window = reference_window(held_out, rows)
    right = np.asarray(window[LABEL] == window[TRUE_LABEL], dtype=np.float64)
    confidence = window[CONFIDENCE].to_numpy(dtype=float)
    reviews = list(held_out.reset_index(drop=True).groupby(GROUP_ID).indices.values())
    size = held_out.loc[held_out[SPLIT] == "test", GROUP_ID].nunique()
    random = np.random.default_rng(2)

    def drawn(number: int) -> NDArray[np.int64]:
        return np.concatenate([reviews[index] for index in random.integers(len(reviews), size=number)])

    def gaps(number: int | None) -> dict[str, float]:
        current = random.permutation(drawn(size))[:WINDOW_ROWS]
        reference = np.arange(len(right)) if number is None else drawn(number)
        known = confidence[reference], right[reference], confidence[current]
        return {name: estimate(*known) - float(right[current].mean()) for name, estimate in ESTIMATORS.items()}

    found: dict[str, Any] = {}
    for number in (*REFERENCE_REVIEWS, None):
        table = pd.DataFrame([gaps(number) for _ in range(RESAMPLES)])
        found[str(number or "all")] = {name: spread(table[name].to_numpy()) for name in table}
    return found
