"""What `docs/results.md` says about confidence: accepted errors over many splits, calibration, accuracy without labels.

python -m tests.benchmarks.accepted_errors --bundle .local/…/bundle --data .local/…/split.parquet --output errors.json

The model was trained on the training split alone. Its validation and test reviews are put together and divided again
and again by whole reviews: on one part the confidences are calibrated, on the other the answers are counted.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from components.datasets import icwsm2014
from components.evaluation import metrics
from components.evaluation.max_error import SHOWN, calibrate, judge_answers, table_of
from components.results.max_error import LimitResult
from feature_checks import bundle as bundles
from feature_checks.classifier import OnnxClassifier, Probabilities
from feature_checks.contract import GROUP_ID, LABEL, SPLIT, TEXT
from feature_checks.documents.reading import document_probabilities
from feature_checks.prediction_record import TRUE_LABEL
from feature_checks.scores import class_indices
from feature_checks.state import state_dir
from monitoring import drift_thresholds
from monitoring.drift.comparison import compare
from monitoring.windows.reference import reference_window
from monitoring.windows.window import Window
from tests.benchmarks import confidence_methods as methods
from tests.benchmarks.confidence_methods import MORE_SPLITS, WINDOW_ROWS, divided

SPLITS: Final = 40
WINDOWS: Final = 10


def main() -> None:
    """Measure, print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("bundle", "data", "output"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=state_dir() / "data", help="folder of the other domains' archive")
    chosen = parser.parse_args()
    frame = pd.read_parquet(chosen.data)
    held_out = frame[frame[SPLIT].isin(["validation", "test"])].reset_index(drop=True)
    bundle = bundles.load(chosen.bundle)
    classifier, temperature = OnnxClassifier(bundle), bundle.manifest.temperature
    rows = document_probabilities(classifier, held_out[TEXT].tolist())
    measures: dict[str, Callable[[], Any]] = {
        "as_split": lambda: as_split(held_out, rows),
        "calibration": lambda: calibration(held_out, rows),
        "splits": lambda: selective_risk(held_out, rows, SPLITS),
        "more_splits": lambda: selective_risk(held_out, rows, MORE_SPLITS),
        "binomial_test": lambda: alternative(held_out, rows, binomial_accepts),
        "betting_test": lambda: alternative(held_out, rows, betting_accepts),
        "calibration_methods": lambda: methods.calibrations(held_out, rows, temperature),
        "expected_accuracy": lambda: methods.accuracies(held_out, rows),
        "resampled_accuracy": lambda: methods.resampled_accuracies(held_out, rows),
        "windows": lambda: accuracy_of_windows(classifier, held_out, rows, chosen.cache),
    }
    figures: dict[str, Any] = {}
    for name, measure in measures.items():
        figures[name] = measure()
        print(name, json.dumps(figures[name], indent=2), flush=True)
    chosen.output.write_text(json.dumps(figures, indent=2), encoding="utf-8")


def as_split(held_out: pd.DataFrame, rows: Probabilities) -> dict[str, Any]:
    """Return what the table from the validation split does on the test split."""
    validation, test = ((held_out[SPLIT] == name).to_numpy() for name in ("validation", "test"))
    table = table_of(held_out[validation], rows[validation])
    assert table is not None
    limits = judge_answers(table, held_out[test], rows[test]).limits
    return {f"{limit.max_error:g}": described(limit) for limit in limits}


def described(limit: LimitResult) -> dict[str, Any]:
    """Return the figures of one accepted error."""
    interval = str(limit.interval) if limit.interval else None
    return {"confidence": limit.confidence, "coverage": limit.coverage, "error": limit.error, "interval": interval}


def calibration(held_out: pd.DataFrame, rows: Probabilities) -> dict[str, Any]:
    """Return the expected calibration error on the test split, its interval, and what chance alone would show."""
    test = (held_out[SPLIT] == "test").to_numpy()
    truth = class_indices(held_out.loc[test, LABEL].tolist())
    groups = held_out.loc[test, GROUP_ID].astype(str).tolist()
    return {
        "error": metrics.expected_calibration_error(truth, rows[test]),
        "interval": str(metrics.calibration_interval(truth, rows[test], groups)),
        "by_chance": metrics.calibration_floor(rows[test]),
        "debiased": metrics.debiased_calibration_error(truth, rows[test], groups),
        "debiased_interval": str(metrics.debiased_calibration_interval(truth, rows[test], groups)),
    }


def selective_risk(held_out: pd.DataFrame, rows: Probabilities, splits: int) -> dict[str, Any]:
    """Return, for each accepted error, in which share of the splits it holds, and how much is answered."""
    truth = class_indices(held_out[LABEL].tolist())
    groups = held_out[GROUP_ID].astype(str).to_numpy()
    wrong, confidence = rows.argmax(axis=1) != truth, rows.max(axis=1)
    found: dict[float, list[tuple[float, float]]] = {limit: [] for limit in SHOWN}
    for calibrating in divided(held_out, splits):
        table = calibrate(truth[calibrating], rows[calibrating], groups[calibrating].tolist(), SHOWN)
        for limit in SHOWN:
            needed = table.confidence_for(limit)
            answered = ~calibrating & (confidence >= (np.inf if needed is None else needed))
            error = float(wrong[answered].mean()) if answered.any() else 0.0
            found[limit].append((answered.sum() / (~calibrating).sum(), error))
    return {f"{limit:g}": summary(limit, np.array(each)) for limit, each in found.items()}


def accuracy_of_windows(
    classifier: OnnxClassifier, held_out: pd.DataFrame, rows: Probabilities, cache: Path
) -> dict[str, Any]:
    """Return what the drift report says of test windows of 500 rows, and of windows of three other domains."""
    validation, test = ((held_out[SPLIT] == name).to_numpy() for name in ("validation", "test"))
    reference = window_of("validation", reference_window(held_out[validation], rows[validation]))
    frames = {"test": reference_window(held_out[test], rows[test])}
    for domain in ("tweets", "nyt", "movies"):
        texts = icwsm2014.load([domain], cache).sample(WINDOW_ROWS, random_state=0)
        frames[domain] = reference_window(texts, document_probabilities(classifier, texts[TEXT].tolist()))
    found: dict[str, list[Any]] = {name: [] for name in frames}
    for name, frame in frames.items():
        for seed in range(WINDOWS if name == "test" else 1):
            part = frame.sample(WINDOW_ROWS, random_state=seed) if name == "test" else frame
            current = window_of(f"{name}-{seed}", part.drop(columns=TRUE_LABEL))
            report = compare(reference, current, drift_thresholds.load(), check=lambda *_: None).report
            true = float((part[LABEL] == part[TRUE_LABEL]).mean())
            found[name].append({"true": true, "expected": report.accuracy_in_words})
    return found


def window_of(name: str, frame: pd.DataFrame) -> Window:
    """Return a window of a frame."""
    return Window(name=name, frame=frame, total_rows=len(frame))


Accepts = Callable[[NDArray[np.bool_], NDArray[np.str_], float], bool]
"""Takes, for each answered text, whether it is wrong and its review, and the accepted error."""


def binomial_accepts(wrong: NDArray[np.bool_], groups: NDArray[np.str_], limit: float) -> bool:
    """Return whether a binomial test at 5 % rejects an expected error above the limit, as if texts were independent."""
    from scipy.stats import binom

    del groups
    return bool(binom.cdf(int(wrong.sum()), len(wrong), limit) <= 0.05)


def betting_accepts(wrong: NDArray[np.bool_], groups: NDArray[np.str_], limit: float) -> bool:
    """Return whether betting on the share of wrong answers of each review rejects a mean above the limit.

    It takes nothing for granted about the errors within a review (Waudby-Smith & Ramdas, *JRSS B* 2024): the capital
    is the product of 1 + bet * (limit - share), and may reach 20 with a probability of at most 5 %.
    """
    shares = pd.Series(wrong).groupby(groups).mean().to_numpy(dtype=float)
    bet = min(0.95 / (1 - limit), float(np.sqrt(2 * np.log(20) / (len(shares) * limit * (1 - limit)))))
    return bool(np.log1p(bet * (limit - shares)).sum() >= np.log(20))


def alternative(held_out: pd.DataFrame, rows: Probabilities, accepts: Accepts) -> dict[str, Any]:
    """Return the same figures for another test, which begins at a confidence of 0.9."""
    truth = class_indices(held_out[LABEL].tolist())
    groups = held_out[GROUP_ID].astype(str).to_numpy()
    wrong, confidence = rows.argmax(axis=1) != truth, rows.max(axis=1)
    found: dict[float, list[tuple[float, float]]] = {limit: [] for limit in SHOWN}
    for calibrating in divided(held_out, MORE_SPLITS):
        for limit in SHOWN:
            needed = np.inf
            for threshold in np.arange(90, 33, -1) / 100:
                answered = calibrating & (confidence >= threshold)
                if not accepts(wrong[answered], groups[answered], limit):
                    break
                needed = threshold
            answered = ~calibrating & (confidence >= needed)
            error = float(wrong[answered].mean()) if answered.any() else 0.0
            found[limit].append((answered.sum() / (~calibrating).sum(), error))
    return {f"{limit:g}": summary(limit, np.array(each)) for limit, each in found.items()}


def summary(limit: float, found: NDArray[np.floating]) -> dict[str, float]:
    """Return the figures over the splits from coverage and error of each; a split without an answer has no error."""
    coverage, error = found.T
    return {
        "kept": float((error <= limit).mean()),
        "answers_something": float((coverage > 0).mean()),
        "mean_coverage": float(coverage.mean()),
        "mean_error": float(error[coverage > 0].mean()) if (coverage > 0).any() else 0.0,
        "largest_error": float(error.max()),
    }


if __name__ == "__main__":
    main()
