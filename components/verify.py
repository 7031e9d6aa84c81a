"""Compare the trained model with its ONNX exports, FP32 and INT8, on the test split."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from components.evaluation.documents import judge_documents
from components.evaluation.max_error import judge_answers
from components.reporting import parity_report
from components.results import documents as document_results
from components.results import evaluation as evaluations
from components.results import files
from components.results import max_error as answer_results
from components.results import parity as parities
from components.results.documents import Documents
from components.results.evaluation import CascadeResult
from components.results.parity import Difference, Parity
from feature_checks import bundle as bundles
from feature_checks.bundle import Bundle
from feature_checks.classifier import OnnxClassifier, Probabilities, softmax
from feature_checks.contract import LABEL, SPLIT, TEXT
from feature_checks.documents import max_error
from feature_checks.documents.reading import document_probabilities
from feature_checks.scores import class_indices, macro_f1
from feature_checks.splits import is_feedback
from feature_checks.thresholds import VerifyThresholds

LATENCY_TEXTS: Final = 100
"""Texts whose single-text latency is measured."""


def verify(export: Path, evaluation: Path, data: Path, *, output: Path, limits: VerifyThresholds) -> Parity:
    """Compare the models; write parity.json, the INT8 probabilities of the test split and report.html to `output`.

    Example: `verify(run / "exported", run / "evaluation", data, output=run / "parity", limits=load().verify).faithful`.
    """
    frame, result = pd.read_parquet(data), evaluations.load(evaluation)
    test = frame[frame[SPLIT] == "test"]
    texts, truth = test[TEXT].tolist(), class_indices(test[LABEL].tolist())
    bundle = bundles.load(export / files.BUNDLE_FOLDER)
    trained = softmax(np.load(evaluation / files.TEST_LOGITS) / bundle.manifest.temperature)
    fp32 = OnnxClassifier(bundle, model=bundle.fp32_path, threads=0)
    int8 = OnnxClassifier(bundle)
    fp32_probabilities, int8_probabilities = fp32.probabilities(texts), int8.probabilities(texts)
    latency = {"fp32": single_text_latency(fp32, texts), "int8": single_text_latency(int8, texts)}
    documents = judge_documents(int8, frame)
    differences = {
        "fp32": compare(trained, fp32_probabilities, truth),
        "int8": compare(trained, int8_probabilities, truth),
        "batching": compare(int8.probabilities(texts, batch_size=1), int8_probabilities, truth),
    }
    parity = Parity(
        rows=len(texts),
        **differences,
        latency_ms=latency,
        bundle_bytes=sum(path.stat().st_size for path in bundle.folder.iterdir()),
        violations=[
            *violations(differences, limits),
            *document_violations(documents, limits),
            *cascade_violations(result.macro_f1, result.cascade, limits),
        ],
    )
    output.mkdir(parents=True, exist_ok=True)
    # The gate judges answers as they are served: a row that is longer than the model reads at once is read in full.
    served = document_probabilities(int8, texts)
    np.save(output / files.INT8_PROBABILITIES, served)
    save_answers(bundle, test, served, output)
    document_results.save(documents, output)
    parities.save(parity, output)
    (output / files.HTML_REPORT).write_text(parity_report.html(parity, limits), encoding="utf-8")
    return parity


def save_answers(bundle: Bundle, test: pd.DataFrame, served: Probabilities, output: Path) -> None:
    """Write what the table of accepted errors in the bundle leaves answered on the test rows that are not feedback."""
    table, anchor = max_error.load(bundle.folder), ~is_feedback(test).to_numpy()
    if table and anchor.any():
        answer_results.save(judge_answers(table, test[anchor], served[anchor]), output)


def compare(expected: Probabilities, other: Probabilities, truth: NDArray[np.int64]) -> Difference:
    """Return how far the probabilities `other` (n × 3) are from `expected` (n × 3)."""
    gaps = np.abs(expected - other).max(axis=1)
    expected_classes, other_classes = (p.argmax(axis=1).astype(np.int64) for p in (expected, other))
    return Difference(
        label_agreement=float((expected_classes == other_classes).mean()),
        largest_gap=float(gaps.max()),
        gap_p99=float(np.quantile(gaps, 0.99)),
        macro_f1_loss=macro_f1(truth, expected_classes) - macro_f1(truth, other_classes),
    )


def violations(differences: Mapping[str, Difference], limits: VerifyThresholds) -> list[str]:
    """Return one sentence for each threshold that is exceeded."""
    fp32, int8, batching = (differences[name] for name in ("fp32", "int8", "batching"))
    rules = (
        (fp32.largest_gap > limits.max_fp32_gap,
         f"FP32 differs from torch by up to {fp32.largest_gap:.4f}; at most {limits.max_fp32_gap} is allowed"),
        (int8.label_agreement < limits.min_label_agreement,
         f"INT8 agrees with torch on {int8.label_agreement:.4f} of labels; {limits.min_label_agreement} is needed"),
        (int8.macro_f1_loss > limits.max_macro_f1_loss,
         f"INT8 loses {int8.macro_f1_loss:.4f} macro-F1; at most {limits.max_macro_f1_loss} is allowed"),
        (batching.label_agreement < limits.min_batch_agreement,
         f"batching keeps {batching.label_agreement:.4f} of labels; {limits.min_batch_agreement} is needed"),
        (batching.gap_p99 > limits.max_batch_gap_p99,
         f"batching moves a probability by {batching.gap_p99:.4f} (p99); allowed is {limits.max_batch_gap_p99}"),
    )  # fmt: skip
    return [sentence for broken, sentence in rules if broken]


def cascade_violations(macro_f1: float, cascade: CascadeResult | None, limits: VerifyThresholds) -> list[str]:
    """Return a sentence if a fast model scores worse than its second stage alone by more than is allowed."""
    if cascade is None or macro_f1 >= cascade.second_stage_macro_f1 - limits.max_cascade_f1_loss:
        return []
    return [
        f"macro-F1 is {macro_f1:.4f}, and {cascade.second_stage_macro_f1:.4f} if the second stage reads "
        f"every text; a loss of at most {limits.max_cascade_f1_loss} is allowed"
    ]


def document_violations(documents: Documents | None, limits: VerifyThresholds) -> list[str]:
    """Return a sentence if whole reviews are labelled worse than by the mean of their windows."""
    if documents is None or documents.read.macro_f1 >= documents.averaged.macro_f1 - limits.max_document_f1_loss:
        return []
    return [
        f"macro-F1 of {documents.reviews} whole reviews is {documents.read.macro_f1:.4f} with the fitted coefficients "
        f"and {documents.averaged.macro_f1:.4f} with the mean of the windows; a loss of at most "
        f"{limits.max_document_f1_loss} is allowed"
    ]


def single_text_latency(classifier: OnnxClassifier, texts: Sequence[str]) -> float:
    """Return the median milliseconds of tokenising and running one text alone."""
    times = []
    for text in texts[:LATENCY_TEXTS]:
        start = time.perf_counter()
        classifier.run(classifier.encode([text]))
        times.append(time.perf_counter() - start)
    return 1000 * median(times)
