"""The measures by which a sentiment model is judged, as functions of arrays."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray

from components.evaluation import bootstrap
from components.results.evaluation import CalibrationBin, ClassScore
from components.results.gate_decision import ServedScore
from components.results.interval import Interval
from feature_checks.classifier import softmax
from feature_checks.contract import LABELS
from feature_checks.scores import Classes, class_scores_of_counts, macro_f1_of_counts, row_counts

CALIBRATION_BINS: Final = 10


def class_scores(truth: Classes, predicted: Classes) -> dict[str, ClassScore]:
    """Return the scores of each label over n rows."""
    counts = row_counts(truth, predicted).sum(axis=0)
    table = zip(*class_scores_of_counts(counts), counts[2], strict=True)
    return {
        label: ClassScore(float(precision), float(recall), float(f1), int(support))
        for label, (precision, recall, f1, support) in zip(LABELS, table, strict=True)
    }


def served_score(truth: Classes, predicted: Classes, labels: tuple[str, ...] = LABELS) -> ServedScore:
    """Return the scores of predicted classes (n), with macro-F1 over `labels`."""
    scores = class_scores(truth, predicted)
    mean = float(macro_f1_of_counts(row_counts(truth, predicted).sum(axis=0), labels))
    return ServedScore(mean, {label: scores[label].f1 for label in labels})


def confusion(truth: Classes, predicted: Classes) -> list[list[int]]:
    """Return the 3 × 3 counts: rows are the true labels, columns the predicted ones."""
    counts = np.zeros((len(LABELS), len(LABELS)), dtype=int)
    np.add.at(counts, (truth, predicted), 1)
    result: list[list[int]] = counts.tolist()
    return result


def calibration_bins(truth: Classes, probabilities: NDArray[np.floating]) -> list[CalibrationBin]:
    """Return the non-empty ones of ten equal-width confidence bins: the points of the reliability diagram."""
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == truth
    index = _bins(confidence)
    return [
        CalibrationBin(int(chosen.sum()), float(confidence[chosen].mean()), float(correct[chosen].mean()))
        for chosen in (index == number for number in range(CALIBRATION_BINS))
        if chosen.any()
    ]


def expected_calibration_error(truth: Classes, probabilities: NDArray[np.floating]) -> float:
    """Return the row-weighted mean |accuracy − confidence| over the bins (Naeini et al., AAAI 2015)."""
    bins = calibration_bins(truth, probabilities)
    return sum(point.rows * abs(point.accuracy - point.confidence) for point in bins) / len(truth)


def calibration_interval(truth: Classes, probabilities: NDArray[np.floating], groups: Sequence[str]) -> Interval:
    """Return the 95 % interval of the expected calibration error, by a bootstrap over the rows' groups."""
    return bootstrap.mean_gap_interval(*_gaps(truth, probabilities), groups)


def debiased_calibration_error(truth: Classes, probabilities: NDArray[np.floating], groups: Sequence[str]) -> float:
    """Return the root mean square of accuracy − confidence over the bins, without what chance adds.

    The squares are debiased as by Kumar, Liang & Ma (*Verified Uncertainty Calibration*, NeurIPS 2019), with the
    rows' groups in the place of rows. Apart from noise, it is never smaller than the expected calibration error.
    """
    return sqrt(max(0.0, bootstrap.squared_gap(*_gaps(truth, probabilities), groups)))


def debiased_calibration_interval(
    truth: Classes, probabilities: NDArray[np.floating], groups: Sequence[str]
) -> Interval:
    """Return the 95 % interval of the debiased calibration error, by a bootstrap over the rows' groups."""
    found = bootstrap.squared_gap_interval(*_gaps(truth, probabilities), groups)
    return Interval(sqrt(max(0.0, found.low)), sqrt(max(0.0, found.high)))


def calibration_floor(probabilities: NDArray[np.floating], draws: int = 1000) -> float:
    """Return the mean expected calibration error of a model that is exactly as often right as it says.

    Chance alone makes the error positive (Bröcker & Smith, *Weather and Forecasting* 2007). Drawn with a fixed seed.
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = np.random.default_rng(0).random((draws, len(confidence))) < confidence
    members = np.eye(CALIBRATION_BINS)[_bins(confidence)]
    return float(np.abs((right - confidence) @ members).sum(axis=1).mean() / len(confidence))


def _gaps(truth: Classes, probabilities: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return for each row whether it is right (1 or 0) less its confidence, and its bin."""
    confidence = probabilities.max(axis=1).astype(np.float64)
    return (probabilities.argmax(axis=1) == truth) - confidence, _bins(confidence)


def _bins(confidence: NDArray[np.floating]) -> NDArray[np.int64]:
    return np.minimum((confidence * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)


def fit_temperature(logits: NDArray[np.floating], truth: Classes) -> float:
    """Return the temperature that minimises the negative log-likelihood of `truth` (Guo et al., ICML 2017)."""
    from scipy.optimize import minimize_scalar

    def negative_log_likelihood(log_temperature: float) -> float:
        probabilities = softmax(logits / np.exp(log_temperature))
        return float(-np.log(probabilities[np.arange(len(truth)), truth] + 1e-12).mean())

    bounds = (np.log(0.25), np.log(4.0))
    return float(np.exp(minimize_scalar(negative_log_likelihood, bounds=bounds, method="bounded").x))
