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
    """A class with a smaller share of the rows fails the check."""
    balanced_class_share: float
    """A class with a smaller share of the rows gives a warning."""
    max_damaged_share: float
    """Largest share of texts with damaged encoding."""
    max_duplicate_share: float
    """Largest share of rows that repeat the text of another row."""


@dataclass(frozen=True)
class VerifyThresholds:
    """Limits of the differences between the trained model and the exported ones."""

    min_label_agreement: float
    max_fp32_gap: float
    max_macro_f1_loss: float
    min_batch_agreement: float
    max_batch_gap_p99: float
    max_document_f1_loss: float
    """Largest loss of macro-F1 on whole reviews against the mean of their windows."""
    max_cascade_f1_loss: float
    """Largest loss of macro-F1 of a fast model against its second stage alone."""


@dataclass(frozen=True)
class CascadeThresholds:
    """Which texts the second stage of a fast model reads; see `components.modelling.cascade`."""

    confidence: float
    """From this confidence on, the answer of the first stage is final."""
    margin: float
    """How far below it the answer of the first stage still counts in part."""


@dataclass(frozen=True)
class ExportThresholds:
    """Limits that are stored in the bundle."""

    self_test_max_gap: float


@dataclass(frozen=True)
class GateThresholds:
    """Limits of a candidate against the baseline and the champion."""

    min_gain_over_baseline: float
    max_class_f1_loss: float
    min_macro_f1_change: float
    min_change_bound: float
    """The lower confidence bound of the change must be above this."""
    bound_level: float
    """One-sided confidence that holds for all attempts against one champion together: none of their bounds lies above
    the true change with this probability. See `attempt_level`."""
    attempt_days: int
    """Attempts that are older do not count."""
    min_new_domain_gain: float
    """With feedback in the data, the lower bound of the gain in the log-probability of its held-out labels must be
    above this, in nats."""
    min_new_domain_change_bound: float
    """The lower bound of the change of macro-F1 on these rows must be above this."""
    min_new_domain_rows: int
    """Held-out rows of feedback that this comparison needs."""
    max_calibration_error: float
    """Largest expected calibration error on the test split."""
    min_behaviour_share: float
    """Share of the behavioural cases that must pass."""
    max_behaviour_loss: float
    """Largest fall of that share from the champion's."""
    min_slice_rows: int
    """A slice of the test split with fewer rows does not count."""
    max_slice_loss: float
    """Largest loss of macro-F1 against the champion on a slice, where the loss is beyond chance."""
    max_document_f1_loss: float
    """Largest loss of macro-F1 on whole reviews against the champion."""

    def attempt_level(self, attempt: int) -> float:
        """Return the confidence of the bound for the n-th attempt (from 1) against the same champion.

        The error 1 - `bound_level` is spent as 1/2, 1/6, 1/12, … 1/(n (n + 1)): the shares of all attempts add up to 1,
        so that a candidate that is worse does not pass at last by being tried often.

        Example: `load().gate.attempt_level(1)` is 0.975.
        """
        return 1 - (1 - self.bound_level) / (attempt * (attempt + 1))


@dataclass(frozen=True)
class Thresholds:
    """Every threshold of the training flow."""

    check: CheckThresholds
    cascade: CascadeThresholds
    verify: VerifyThresholds
    export: ExportThresholds
    gate: GateThresholds


def load(path: Path = DEFAULT) -> Thresholds:
    """Read the thresholds. Raises TypeError for an unknown or missing name.

    Example: `load().gate.max_class_f1_loss`.
    """
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    return Thresholds(
        check=CheckThresholds(**content["check"]),
        cascade=CascadeThresholds(**content["cascade"]),
        verify=VerifyThresholds(**content["verify"]),
        export=ExportThresholds(**content["export"]),
        gate=GateThresholds(**content["gate"]),
    )
