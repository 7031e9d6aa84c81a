"""Is the exported model the trained one? torch against ONNX FP32 against INT8 on the test split."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from components import metrics
from components.evaluate import TEST_LOGITS
from components.report import Section, page
from feature_checks import bundle as bundles
from feature_checks.classifier import OnnxClassifier, Probabilities, softmax
from feature_checks.contract import LABEL, SPLIT, TEXT
from feature_checks.thresholds import VerifyThresholds

PARITY: Final = "parity.json"
INT8_PROBABILITIES: Final = "int8_test_probabilities.npy"
REPORT: Final = "report.html"
LATENCY_TEXTS: Final = 100


@dataclass(frozen=True)
class Difference:
    """How far one model's probabilities are from another's, over the same rows."""

    label_agreement: float
    largest_gap: float
    """Largest |difference| of any probability."""
    gap_p99: float
    """99th percentile over rows of the row's largest |difference|."""
    macro_f1_loss: float


@dataclass(frozen=True)
class Parity:
    """Differences from torch and within INT8, single-text latencies (median, ms), and what breaks a threshold."""

    rows: int
    fp32: Difference
    int8: Difference
    batching: Difference
    """INT8, each text alone against batched with neighbours."""
    latency_ms: Mapping[str, float]
    bundle_bytes: int
    violations: Sequence[str]

    @property
    def faithful(self) -> bool:
        """Whether the INT8 model may stand in for the trained one."""
        return not self.violations


def verify(export: Path, evaluation: Path, data: Path, *, output: Path, limits: VerifyThresholds) -> Parity:
    """Compare the models; write parity.json, the INT8 probabilities of the test split and report.html to `output`."""
    frame = pd.read_parquet(data)
    test = frame[frame[SPLIT] == "test"]
    texts, truth = test[TEXT].tolist(), metrics.class_indices(test[LABEL].tolist())
    bundle = bundles.load(export / "bundle")
    trained = softmax(np.load(evaluation / TEST_LOGITS) / bundle.manifest.temperature)
    fp32 = OnnxClassifier(bundle, model=bundle.fp32_path, threads=0)
    int8 = OnnxClassifier(bundle)
    fp32_probabilities, int8_probabilities = fp32.probabilities(texts), int8.probabilities(texts)
    latency = {"fp32": single_text_latency(fp32, texts), "int8": single_text_latency(int8, texts)}
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
        violations=violations(differences, limits),
    )
    output.mkdir(parents=True, exist_ok=True)
    np.save(output / INT8_PROBABILITIES, int8_probabilities)
    (output / PARITY).write_text(json.dumps(asdict(parity), indent=2), encoding="utf-8")
    (output / REPORT).write_text(page("Exported against trained model", sections(parity, limits)), encoding="utf-8")
    return parity


def compare(reference: Probabilities, other: Probabilities, truth: NDArray[np.int64]) -> Difference:
    """Return how far `other` (n × 3) is from `reference` (n × 3)."""
    gaps = np.abs(reference - other).max(axis=1)
    reference_classes, other_classes = (p.argmax(axis=1).astype(np.int64) for p in (reference, other))
    return Difference(
        label_agreement=float((reference_classes == other_classes).mean()),
        largest_gap=float(gaps.max()),
        gap_p99=float(np.quantile(gaps, 0.99)),
        macro_f1_loss=metrics.macro_f1(truth, reference_classes) - metrics.macro_f1(truth, other_classes),
    )


def violations(differences: Mapping[str, Difference], limits: VerifyThresholds) -> list[str]:
    """Return one sentence for each threshold that is broken."""
    fp32, int8, batching = (differences[name] for name in ("fp32", "int8", "batching"))
    rules = (
        (fp32.largest_gap > limits.max_fp32_gap,
         f"FP32 differs from torch by up to {fp32.largest_gap:.4f}; allowed {limits.max_fp32_gap}"),
        (int8.label_agreement < limits.min_label_agreement,
         f"INT8 agrees with torch on {int8.label_agreement:.4f} of labels; needed {limits.min_label_agreement}"),
        (int8.macro_f1_loss > limits.max_macro_f1_loss,
         f"INT8 loses {int8.macro_f1_loss:.4f} macro-F1; allowed {limits.max_macro_f1_loss}"),
        (batching.label_agreement < limits.min_batch_agreement,
         f"batching keeps {batching.label_agreement:.4f} of labels; needed {limits.min_batch_agreement}"),
        (batching.gap_p99 > limits.max_batch_gap_p99,
         f"batching moves a probability by {batching.gap_p99:.4f} (p99); allowed {limits.max_batch_gap_p99}"),
    )  # fmt: skip
    return [sentence for broken, sentence in rules if broken]


def single_text_latency(classifier: OnnxClassifier, texts: Sequence[str]) -> float:
    """Return the median milliseconds of tokenising and running one text alone."""
    times = []
    for text in texts[:LATENCY_TEXTS]:
        start = time.perf_counter()
        classifier.run(classifier.encode([text]))
        times.append(time.perf_counter() - start)
    return 1000 * median(times)


def headline(parity: Parity) -> dict[str, float]:
    """Return the figures that a run list shows."""
    return {
        "int8_label_agreement": parity.int8.label_agreement,
        "int8_largest_gap": parity.int8.largest_gap,
        "int8_macro_f1_loss": parity.int8.macro_f1_loss,
        "batch_label_agreement": parity.batching.label_agreement,
        "int8_single_text_ms": parity.latency_ms["int8"],
        "bundle_megabytes": parity.bundle_bytes / 1e6,
    }


def load_parity(folder: Path) -> Parity:
    """Read what `verify` wrote."""
    content = json.loads((folder / PARITY).read_text(encoding="utf-8"))
    differences = {name: Difference(**content[name]) for name in ("fp32", "int8", "batching")}
    return Parity(**(content | differences))


def sections(parity: Parity, limits: VerifyThresholds) -> list[Section]:
    """Return the report's content."""
    compared = {
        "FP32 to torch": parity.fp32,
        "INT8 to torch": parity.int8,
        "INT8 batched to alone": parity.batching,
    }
    verdict = "Faithful." if parity.faithful else "Not faithful: " + "; ".join(parity.violations) + "."
    return [
        Section("Verdict", [verdict]),
        Section("Differences", columns=("models", "same label", "largest gap", "gap p99", "macro-F1 loss"), rows=[
            (name, f"{d.label_agreement:.4f}", f"{d.largest_gap:.4f}", f"{d.gap_p99:.4f}", f"{d.macro_f1_loss:+.4f}")
            for name, d in compared.items()
        ]),
        Section("Single-text latency", columns=("model", "median ms"), rows=[
            (name, f"{value:.2f}") for name, value in parity.latency_ms.items()
        ]),
        Section("Thresholds", columns=("name", "value"), rows=list(asdict(limits).items())),
    ]  # fmt: skip
