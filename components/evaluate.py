"""Judge a trained model on the untouched test split, beside VADER and the average human rater."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from components import behaviour, metrics
from components.behaviour import CapabilityResult
from components.metrics import CalibrationBin, Classes, ClassScore
from components.report import Section, page, picture
from components.torch_classifier import TorchClassifier
from components.train import MAX_LENGTH
from feature_checks.classifier import softmax
from feature_checks.contract import LABEL, LABELS, SOURCE, SPLIT, TEXT

EVALUATION: Final = "evaluation.json"
TEST_LOGITS: Final = "test_logits.npy"
REPORT: Final = "report.html"
LENGTH_SLICES: Final = {"up to 8 words": (0, 8), "9 to 20 words": (9, 20), "over 20 words": (21, 10**9)}


@dataclass(frozen=True)
class Slice:
    """Macro-F1 on a part of the test split."""

    rows: int
    macro_f1: float


@dataclass(frozen=True)
class Evaluation:
    """How good the model is; every figure is of the test split."""

    rows: int
    macro_f1: float
    temperature: float
    """Fitted on the validation split."""
    expected_calibration_error: float
    uncalibrated_error: float
    """Expected calibration error at temperature 1."""
    classes: Mapping[str, ClassScore]
    confusion: Sequence[Sequence[int]]
    reliability: Sequence[CalibrationBin]
    slices: Mapping[str, Slice]
    baseline_macro_f1: float
    human_macro_f1: float | None
    behaviour: Mapping[str, CapabilityResult]


def evaluate(model: Path, data: Path, output: Path) -> Evaluation:
    """Evaluate the Hugging Face model folder; write evaluation.json, the test logits and report.html to `output`."""
    frame = pd.read_parquet(data)
    validation, test = (frame[frame[SPLIT] == name] for name in ("validation", "test"))
    classifier = TorchClassifier(model, max_length=MAX_LENGTH)
    temperature = metrics.fit_temperature(
        classifier.logits(validation[TEXT].tolist()), metrics.class_indices(validation[LABEL].tolist())
    )
    logits = classifier.logits(test[TEXT].tolist())
    result = judge(test, logits, temperature)
    cases = behaviour.run_cases(lambda texts: softmax(classifier.logits(texts) / temperature), behaviour.load_cases())
    result = Evaluation(**(vars(result) | {"behaviour": cases}))
    output.mkdir(parents=True, exist_ok=True)
    np.save(output / TEST_LOGITS, logits)
    (output / EVALUATION).write_text(json.dumps(asdict(result), indent=2), encoding="utf-8")
    (output / REPORT).write_text(page("Evaluation on the test split", sections(result)), encoding="utf-8")
    return result


def judge(test: pd.DataFrame, logits: NDArray[np.floating], temperature: float) -> Evaluation:
    """Return every figure that follows from the test rows and their n × 3 logits."""
    truth = metrics.class_indices(test[LABEL].tolist())
    probabilities = softmax(logits / temperature)
    predicted = probabilities.argmax(axis=1).astype(np.int64)
    return Evaluation(
        rows=len(test),
        macro_f1=metrics.macro_f1(truth, predicted),
        temperature=temperature,
        expected_calibration_error=metrics.expected_calibration_error(truth, probabilities),
        uncalibrated_error=metrics.expected_calibration_error(truth, softmax(logits)),
        classes=metrics.class_scores(truth, predicted),
        confusion=metrics.confusion(truth, predicted),
        reliability=metrics.calibration_bins(truth, probabilities),
        slices=_slices(test, truth, predicted),
        baseline_macro_f1=metrics.macro_f1(truth, metrics.vader_predictions(test[TEXT].tolist())),
        human_macro_f1=metrics.human_macro_f1(test, truth),
        behaviour={},
    )


def load_evaluation(folder: Path) -> Evaluation:
    """Read what `evaluate` wrote."""
    content = json.loads((folder / EVALUATION).read_text(encoding="utf-8"))
    typed = {
        "classes": {name: ClassScore(**score) for name, score in content["classes"].items()},
        "reliability": [CalibrationBin(**point) for point in content["reliability"]],
        "slices": {name: Slice(**value) for name, value in content["slices"].items()},
        "behaviour": {name: CapabilityResult(**value) for name, value in content["behaviour"].items()},
    }
    return Evaluation(**(content | typed))


def _slices(test: pd.DataFrame, truth: Classes, predicted: Classes) -> dict[str, Slice]:
    words = test[TEXT].map(lambda text: len(text.split())).to_numpy()
    chosen = {name: (words >= low) & (words <= high) for name, (low, high) in LENGTH_SLICES.items()}
    chosen |= {f"source {source}": (test[SOURCE] == source).to_numpy() for source in sorted(test[SOURCE].unique())}
    return {
        name: Slice(int(rows.sum()), metrics.macro_f1(truth[rows], predicted[rows]))
        for name, rows in chosen.items()
        if rows.any()
    }


def sections(result: Evaluation) -> list[Section]:
    """Return the report's content."""
    human = "–" if result.human_macro_f1 is None else f"{result.human_macro_f1:.3f}"
    calibration = f"{result.expected_calibration_error:.3f} (before temperature {result.uncalibrated_error:.3f})"
    return [
        Section("Summary", columns=("measure", "value"), rows=[
            ("macro-F1", f"{result.macro_f1:.3f}"),
            ("VADER baseline macro-F1", f"{result.baseline_macro_f1:.3f}"),
            ("average human rater macro-F1", human),
            ("expected calibration error", calibration),
            ("temperature", f"{result.temperature:.3f}"),
            ("test rows", result.rows),
        ]),
        Section("Classes", columns=("class", "precision", "recall", "F1", "rows"), rows=[
            (name, f"{s.precision:.3f}", f"{s.recall:.3f}", f"{s.f1:.3f}", s.support)
            for name, s in result.classes.items()
        ]),
        Section("Confusion matrix", pictures=[_confusion_picture(result)]),
        Section("Reliability diagram", pictures=[_reliability_picture(result)]),
        Section("Slices", columns=("slice", "rows", "macro-F1"), rows=[
            (name, part.rows, f"{part.macro_f1:.3f}") for name, part in result.slices.items()
        ]),
        Section("Behaviour", columns=("capability", "passed", "failed cases"), rows=[
            (name, f"{r.passed}/{r.cases}", "; ".join(r.failed)) for name, r in result.behaviour.items()
        ]),
    ]  # fmt: skip


def _confusion_picture(result: Evaluation) -> str:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6, 4))
    axes = figure.subplots()
    counts = np.array(result.confusion)
    axes.imshow(counts / counts.sum(axis=1, keepdims=True).clip(1), cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        axes.text(column, row, str(count), ha="center", va="center")
    axes.set(
        xticks=range(3),
        yticks=range(3),
        xticklabels=LABELS,
        yticklabels=LABELS,
        xlabel="predicted",
        ylabel="truth",
    )
    return picture(figure)


def _reliability_picture(result: Evaluation) -> str:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6, 4))
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], linestyle=":", color="grey")
    axes.plot([b.confidence for b in result.reliability], [b.accuracy for b in result.reliability], marker="o")
    axes.set(xlim=(0.3, 1), ylim=(0, 1), xlabel="confidence", ylabel="accuracy")
    return picture(figure)
