"""The report that compares the trained model with its exports."""

from __future__ import annotations

from dataclasses import asdict

from components.reporting.pages import Section, Verdict, page
from components.results.parity import Difference, Parity
from feature_checks.thresholds import VerifyThresholds


def html(parity: Parity, limits: VerifyThresholds) -> str:
    """Return the page."""
    return page("Exported models against the trained model", sections(parity, limits), verdict(parity))


def verdict(parity: Parity) -> Verdict:
    """Return whether the INT8 model may replace the trained one."""
    if parity.faithful:
        return Verdict("good", "The exported models agree with the trained model within every threshold.")
    return Verdict("bad", "The exported models differ from the trained model: " + "; ".join(parity.violations) + ".")


def sections(parity: Parity, limits: VerifyThresholds) -> list[Section]:
    """Return the report's content."""
    compared = {
        "FP32 against trained": parity.fp32,
        "INT8 against trained": parity.int8,
        "INT8 in batches against alone": parity.batching,
    }
    return [
        Section("Differences", [f"Measured on {parity.rows} rows of the test split."],
                columns=("models", "same label", "largest gap", "gap p99", "macro-F1 loss"),
                rows=[(name, *_cells(difference)) for name, difference in compared.items()]),
        Section("Latency of a single text", columns=("model", "median ms"), rows=[
            (name, f"{value:.2f}") for name, value in parity.latency_ms.items()
        ]),
        Section("Thresholds", columns=("name", "value"), rows=list(asdict(limits).items())),
    ]  # fmt: skip


def _cells(difference: Difference) -> tuple[str, str, str, str]:
    return (
        f"{difference.label_agreement:.4f}",
        f"{difference.largest_gap:.4f}",
        f"{difference.gap_p99:.4f}",
        f"{difference.macro_f1_loss:+.4f}",
    )
