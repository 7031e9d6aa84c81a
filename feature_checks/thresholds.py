"""The gates' thresholds as typed values, read from thresholds.toml beside this file."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

DEFAULT: Final = Path(__file__).with_suffix(".toml")


@dataclass(frozen=True)
class CheckThresholds:
    """Limits of the data checks."""

    min_rows: int
    min_class_share: float
    balanced_class_share: float
    max_damaged_share: float
    max_duplicate_share: float


@dataclass(frozen=True)
class VerifyThresholds:
    """Limits of the differences between the trained model and the exported ones."""

    min_label_agreement: float
    max_fp32_gap: float
    max_macro_f1_loss: float
    min_batch_agreement: float
    max_batch_gap_p99: float


@dataclass(frozen=True)
class ExportThresholds:
    """Limits that travel in the bundle."""

    self_test_max_gap: float


@dataclass(frozen=True)
class GateThresholds:
    """Limits of a candidate against the baseline and the champion."""

    min_gain_over_baseline: float
    max_class_f1_loss: float
    min_macro_f1_change: float
    min_change_bound: float
    """The change's lower confidence bound has to be above this."""
    bound_level: float
    """Of that one-sided bound: it is below the true change with this probability."""


@dataclass(frozen=True)
class Thresholds:
    """Every threshold of the training flow."""

    check: CheckThresholds
    verify: VerifyThresholds
    export: ExportThresholds
    gate: GateThresholds


def load(path: Path = DEFAULT) -> Thresholds:
    """Read the thresholds; an unknown or missing name raises TypeError."""
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    return Thresholds(
        check=CheckThresholds(**content["check"]),
        verify=VerifyThresholds(**content["verify"]),
        export=ExportThresholds(**content["export"]),
        gate=GateThresholds(**content["gate"]),
    )
