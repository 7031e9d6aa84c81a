"""The comparison of the trained model with its exports, as `verify` writes it and later steps read it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from components.results import files


@dataclass(frozen=True)
class Difference:
    """How far one model's probabilities are from another's, over the same rows."""

    label_agreement: float
    """Share of rows with the same label."""
    largest_gap: float
    """Largest |difference| of any probability."""
    gap_p99: float
    """99th percentile over rows of the row's largest |difference|."""
    macro_f1_loss: float
    """Macro-F1 of the first model minus that of the second."""


@dataclass(frozen=True)
class Parity:
    """Differences between the trained model and its exports, and the thresholds that they exceed."""

    rows: int
    fp32: Difference
    """The exported FP32 model against the trained one."""
    int8: Difference
    """The INT8 model against the trained one."""
    batching: Difference
    """INT8, each text alone against batched with neighbours."""
    latency_ms: Mapping[str, float]
    """Median milliseconds for a single text, for each exported model."""
    bundle_bytes: int
    violations: Sequence[str]
    """One sentence for each threshold that is exceeded."""

    @property
    def faithful(self) -> bool:
        """Whether the INT8 model may replace the trained one."""
        return not self.violations

    def metrics(self) -> dict[str, float]:
        """Return the figures that the list of runs shows."""
        return {
            "int8_label_agreement": self.int8.label_agreement,
            "int8_largest_gap": self.int8.largest_gap,
            "int8_macro_f1_loss": self.int8.macro_f1_loss,
            "batch_label_agreement": self.batching.label_agreement,
            "int8_single_text_ms": self.latency_ms["int8"],
            "bundle_megabytes": self.bundle_bytes / 1e6,
        }


def save(parity: Parity, folder: Path) -> None:
    """Write the comparison to `folder`, which must exist."""
    (folder / files.PARITY).write_text(json.dumps(asdict(parity), indent=2), encoding="utf-8")


def load(folder: Path) -> Parity:
    """Read what `save` wrote."""
    content = json.loads((folder / files.PARITY).read_text(encoding="utf-8"))
    differences = {name: Difference(**content[name]) for name in ("fp32", "int8", "batching")}
    return Parity(**(content | differences))
