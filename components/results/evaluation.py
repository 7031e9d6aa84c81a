"""The evaluation of a trained model, as `evaluate` writes it and later steps read it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from components.results import files, max_error
from components.results.interval import Interval
from components.results.max_error import Answers


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
class CascadeResult:
    """What the first stage of a fast model answers on the test split, and what that costs."""

    confidence: float
    """From this confidence on, the first stage's answer is final."""
    share: float
    """The share of rows that the first stage answers."""
    second_stage_macro_f1: float
    """Macro-F1 of the second stage, if it read every row."""


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
    calibration_interval: Interval
    """Of the expected calibration error."""
    calibration_floor: float
    """What a model whose confidences are exactly right would show on so many rows: the measure counts noise too."""
    debiased_calibration_error: float
    """Root mean square of the gaps of the bins, without what chance adds."""
    debiased_calibration_interval: Interval
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
    answers: Answers | None = None
    """What an accepted error leaves answered, as the trained model has it; None for data without validation rows."""
    cascade: CascadeResult | None = None
    """None for a model of one stage."""

    def metrics(self) -> dict[str, float]:
        """Return the figures that the list of runs shows."""
        return {
            "macro_f1": self.macro_f1,
            "baseline_macro_f1": self.baseline_macro_f1,
            "expected_calibration_error": self.expected_calibration_error,
            **self._answer_metrics(),
            "temperature": self.temperature,
        }

    def _answer_metrics(self) -> dict[str, float]:
        limits = self.answers.limits if self.answers else ()
        return {f"coverage_at_max_error_{limit.max_error:g}": limit.coverage for limit in limits}


def save(evaluation: Evaluation, folder: Path) -> None:
    """Write the evaluation to `folder`, which must exist."""
    (folder / files.EVALUATION).write_text(json.dumps(asdict(evaluation), indent=2), encoding="utf-8")


def load(folder: Path) -> Evaluation:
    """Read what `save` wrote."""
    content = json.loads((folder / files.EVALUATION).read_text(encoding="utf-8"))
    typed = {
        "interval": Interval(**content["interval"]),
        "calibration_interval": Interval(**content["calibration_interval"]),
        "debiased_calibration_interval": Interval(**content["debiased_calibration_interval"]),
        "answers": max_error.parse(content["answers"]),
        "cascade": CascadeResult(**content["cascade"]) if content["cascade"] else None,
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
