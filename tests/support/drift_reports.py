"""A drift report that tests change with `dataclasses.replace`."""

from __future__ import annotations

from monitoring.drift.drift_report import DriftReport

REPORT = DriftReport(
    window="first",
    reference="reference",
    status="judged",
    drift=False,
    reasons=("quiet",),
    measurements=(),
    not_measured=("label",),
    reference_rows=1500,
    current_rows=500,
    reference_total=1500,
    current_total=900,
    labelled_rows=0,
    macro_f1_reference=None,
    macro_f1_current=None,
    model_versions=("3",),
    damaged_lines=0,
)
"""A window without drift."""
