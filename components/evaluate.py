"""Judge a trained model on the untouched test split, beside VADER and the average human rater."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from components.evaluation import baseline, behaviour, bootstrap, metrics
from components.evaluation.max_error import answers_of
from components.evaluation.slices import slices
from components.modelling import torch_classifier
from components.modelling.torch_classifier import TorchCascade, TorchClassifier
from components.reporting import evaluation_report
from components.reporting.evaluation_report import Mistake
from components.results import evaluation as evaluations
from components.results import files
from components.results.evaluation import CascadeResult, Evaluation, Slice
from feature_checks.classifier import Probabilities, softmax
from feature_checks.contract import GROUP_ID, LABEL, LABELS, MAX_LENGTH, ROW_ID, SPLIT, TEXT
from feature_checks.scores import Classes, class_indices, macro_f1
from feature_checks.splits import is_feedback

MISTAKES: Final = 10
"""The most confident mistakes that the report quotes."""


def evaluate(model: Path, data: Path, output: Path) -> Evaluation:
    """Evaluate the Hugging Face model folder; write evaluation.json, the test logits and reports to `output`.

    Feedback in the test split is a slice of its own: the other figures are those of the rows that every model of the
    data is compared on.

    `output`/report.html quotes the most confident mistakes; `output`/shared holds a report without quotes, and the
    plots as PNG.

    Example: `evaluate(Path("model"), Path("split.parquet"), Path("evaluation")).macro_f1`.
    """
    frame = pd.read_parquet(data)
    validation, test = (frame[frame[SPLIT] == name] for name in ("validation", "test"))
    classifier = torch_classifier.load(model, max_length=MAX_LENGTH)
    validation_logits = classifier.logits(validation[TEXT].tolist())
    temperature = metrics.fit_temperature(validation_logits, class_indices(validation[LABEL].tolist()))
    logits = classifier.logits(test[TEXT].tolist())
    labels = [label for label in LABELS if (frame[LABEL] == label).any()]
    cases = behaviour.run_cases(lambda texts: softmax(classifier.logits(texts) / temperature), behaviour.load_cases())
    feedback = is_feedback(test).to_numpy()
    evaluation = replace(
        judge(test[~feedback], logits[~feedback], temperature, labels),
        behaviour=cases,
        slices=slice_scores(test, logits, labels),
        answers=answers_of(
            validation,
            softmax(validation_logits / temperature),
            test[~feedback],
            softmax(logits / temperature)[~feedback],
        ),
        cascade=judge_cascade(classifier, test[~feedback], labels),
    )
    output.mkdir(parents=True, exist_ok=True)
    np.save(output / files.TEST_LOGITS, logits)
    evaluations.save(evaluation, output)
    evaluation_report.write(evaluation, confident_mistakes(test, softmax(logits / temperature)), output)
    return evaluation


def judge_cascade(
    classifier: TorchClassifier | TorchCascade, test: pd.DataFrame, labels: Sequence[str] = LABELS
) -> CascadeResult | None:
    """Return what the first stage answers of the test rows, and what the second stage alone would score on them."""
    if isinstance(classifier, TorchClassifier):
        return None
    texts = test[TEXT].tolist()
    unsure = classifier.cascade.unsure(classifier.first.logits(texts))
    second = classifier.second.logits(texts).argmax(axis=1).astype(np.int64)
    alone = macro_f1(class_indices(test[LABEL].tolist()), second, labels)
    return CascadeResult(classifier.cascade.confidence, 1 - len(unsure) / len(texts), alone)


def judge(
    test: pd.DataFrame, logits: NDArray[np.floating], temperature: float, labels: Sequence[str] = LABELS
) -> Evaluation:
    """Return every figure that follows from the test rows and their n × 3 logits; macro-F1 is over `labels`."""
    truth, groups = class_indices(test[LABEL].tolist()), test[GROUP_ID].astype(str).tolist()
    probabilities = softmax(logits / temperature)
    predicted = probabilities.argmax(axis=1).astype(np.int64)
    return Evaluation(
        rows=len(test),
        labels=tuple(labels),
        macro_f1=macro_f1(truth, predicted, labels),
        interval=bootstrap.macro_f1_interval(truth, predicted, groups, labels),
        temperature=temperature,
        expected_calibration_error=metrics.expected_calibration_error(truth, probabilities),
        uncalibrated_error=metrics.expected_calibration_error(truth, softmax(logits)),
        calibration_interval=metrics.calibration_interval(truth, probabilities, groups),
        calibration_floor=metrics.calibration_floor(probabilities),
        debiased_calibration_error=metrics.debiased_calibration_error(truth, probabilities, groups),
        debiased_calibration_interval=metrics.debiased_calibration_interval(truth, probabilities, groups),
        classes=metrics.class_scores(truth, predicted),
        class_intervals=bootstrap.class_intervals(truth, predicted, groups),
        confusion=metrics.confusion(truth, predicted),
        reliability=metrics.calibration_bins(truth, probabilities),
        slices=_slices(test, truth, predicted, labels),
        baseline_macro_f1=macro_f1(truth, baseline.vader_predictions(test[TEXT].tolist()), labels),
        human_macro_f1=baseline.human_macro_f1(test, labels),
        behaviour={},
    )


def confident_mistakes(test: pd.DataFrame, probabilities: Probabilities) -> list[Mistake]:
    """Return the wrongly labelled rows in which the model is most confident (n × 3 probabilities)."""
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = np.flatnonzero(predicted != class_indices(test[LABEL].tolist()))
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")][:MISTAKES]
    rows = test.iloc[worst]
    return [
        Mistake(str(row[ROW_ID]), str(row[TEXT]), str(row[LABEL]), LABELS[predicted[index]], float(confidence[index]))
        for index, (_, row) in zip(worst, rows.iterrows(), strict=True)
    ]


def slice_scores(test: pd.DataFrame, logits: NDArray[np.floating], labels: Sequence[str] = LABELS) -> dict[str, Slice]:
    """Return macro-F1 on each part of the n test rows, feedback included."""
    return _slices(test, class_indices(test[LABEL].tolist()), logits.argmax(axis=1).astype(np.int64), labels)


def _slices(test: pd.DataFrame, truth: Classes, predicted: Classes, labels: Sequence[str]) -> dict[str, Slice]:
    groups = test[GROUP_ID].astype(str).to_numpy()
    return {
        name: Slice(
            int(rows.sum()),
            macro_f1(truth[rows], predicted[rows], labels),
            bootstrap.macro_f1_interval(truth[rows], predicted[rows], groups[rows].tolist(), labels),
        )
        for name, rows in slices(test)
    }
