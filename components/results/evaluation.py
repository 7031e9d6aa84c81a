"""The evaluation of a trained model, as `evaluate` writes it and later steps read it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from components.results import files


@dataclass(frozen=True)
class Interval:
    """A two-sided 95 % confidence interval."""

    low: float
    high: float

    def __str__(self) -> str:
        """Return the interval as reports show it."""
        return f"{self.low:.3f} to {self.high:.3f}"


@dataclass(frozen=True)
class ClassScore:
    """Precision, recall and F1 of one class over `support` rows."""

    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class ClassIntervals:
    """Confidence intervals of one class's precision, recall and F1."""

    precision: Interval
    recall: Interval
    f1: Interval


@dataclass(frozen=True)
class CalibrationBin:
    """Rows whose confidence falls in one bin: their number, mean confidence and accuracy."""

    rows: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Slice:
    """Macro-F1 on a part of the test split, with its confidence interval."""

    rows: int
    macro_f1: float
    interval: Interval


@dataclass(frozen=True)
class CapabilityResult:
    """How many behavioural cases of a capability passed, and the texts of those that did not."""

    passed: int
    cases: int
    failed: Sequence[str]


@dataclass(frozen=True)
class Evaluation:
    """The quality of a model. Every figure is measured on the test split; no review text is held."""

    rows: int
    labels: Sequence[str]
    """The labels that occur in the data: macro-F1 is their mean. Data without neutral rows has two."""
    macro_f1: float
    interval: Interval
    """Of macro-F1."""
    temperature: float
    """Fitted on the validation split."""
    expected_calibration_error: float
    uncalibrated_error: float
    """Expected calibration error at temperature 1."""
    classes: Mapping[str, ClassScore]
    class_intervals: Mapping[str, ClassIntervals]
    confusion: Sequence[Sequence[int]]
    """3 × 3 counts: rows are the true labels, columns the predicted ones."""
    reliability: Sequence[CalibrationBin]
    slices: Mapping[str, Slice]
    baseline_macro_f1: float
    """Of VADER."""
    human_macro_f1: float | None
    """Of a single rater on average; None where the data has no individual ratings."""
    behaviour: Mapping[str, CapabilityResult]

    def metrics(self) -> dict[str, float]:
        """Return the figures that the list of runs shows."""
        return {
            "macro_f1": self.macro_f1,
            "baseline_macro_f1": self.baseline_macro_f1,
            "expected_calibration_error": self.expected_calibration_error,
            "temperature": self.temperature,
        }


def save(evaluation: Evaluation, folder: Path) -> None:
    """Write the evaluation to `folder`, which must exist."""
    (folder / files.EVALUATION).write_text(json.dumps(asdict(evaluation), indent=2), encoding="utf-8")


def load(folder: Path) -> Evaluation:
    """Read what `save` wrote."""
    content = json.loads((folder / files.EVALUATION).read_text(encoding="utf-8"))
    typed = {
        "interval": Interval(**content["interval"]),
        "classes": {name: ClassScore(**score) for name, score in content["classes"].items()},
        "class_intervals": {name: _intervals(value) for name, value in content["class_intervals"].items()},
        "reliability": [CalibrationBin(**point) for point in content["reliability"]],
        "slices": {
            name: Slice(**(value | {"interval": Interval(**value["interval"])}))
            for name, value in content["slices"].items()
        },
        "behaviour": {name: CapabilityResult(**value) for name, value in content["behaviour"].items()},
    }
    return Evaluation(**(content | typed))


def _intervals(content: Mapping[str, Any]) -> ClassIntervals:
    return ClassIntervals(**{name: Interval(**bounds) for name, bounds in content.items()})
