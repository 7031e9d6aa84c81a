"""A pair of windows → one DriftReport: checked, measured, judged, in words."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

import pandas as pd

from monitoring import detectors
from monitoring.detectors import Measurement
from monitoring.thresholds import Thresholds
from monitoring.window import Window

Status = Literal["judged", "too_few_rows", "invalid"]
FILE: Final = "report.json"


@dataclass(frozen=True)
class DriftReport:
    """What a report says. Holds no review text, so it may leave the machine."""

    window: str
    """Name of the current window; the history keeps one report for each."""
    reference: str
    status: Status
    """`too_few_rows`: nothing can be said; `invalid`: a window failed its check. Only `judged` can be drift."""
    drift: bool
    reasons: tuple[str, ...]
    measurements: tuple[Measurement, ...]
    not_measured: tuple[str, ...]
    """Detectors whose column a window lacks."""
    reference_rows: int
    current_rows: int
    """Rows compared; the totals are the rows they were sampled from."""
    reference_total: int
    current_total: int
    labelled_rows: int
    macro_f1_reference: float | None
    macro_f1_current: float | None
    model_versions: tuple[str, ...]
    damaged_lines: int

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON types, the verdict first."""
        content = asdict(self)
        first = {name: content.pop(name) for name in ("drift", "status", "reasons")}
        return first | content

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> DriftReport:
        """Return the report that `to_dict` gave, or that was read from its JSON."""
        measurements = tuple(Measurement(**one) for one in content["measurements"])
        lists = {name: tuple(content[name]) for name in ("reasons", "not_measured", "model_versions")}
        return cls(**(content | lists | {"measurements": measurements}))

    def save(self, folder: Path) -> Path:
        """Write report.json into the folder and return its path."""
        path = folder / FILE
        path.write_text(json.dumps(self.to_dict(), indent=2) + "\n", encoding="utf-8")
        return path


@dataclass(frozen=True)
class Compared:
    """A report with the two samples it was made from (with domain scores), as the pictures need them."""

    report: DriftReport
    reference: pd.DataFrame
    current: pd.DataFrame


def compare(reference: Window, current: Window, thresholds: Thresholds) -> Compared:
    """Check both windows, measure every detector, and judge."""
    refusal = _too_few_rows(reference, current, thresholds) or _check(reference, current)
    if refusal:
        status, reasons = refusal
        return Compared(_report(reference, current, status, False, reasons), reference.frame, current.frame)
    frames = detectors.with_domain_scores(_typed(reference.frame), _typed(current.frame))
    found = detectors.judge(detectors.scores(*frames), thresholds, (len(frames[0]), len(frames[1])))
    minimum = thresholds.window.min_labelled_rows
    then, now = (detectors.macro_f1(one.labelled, minimum) for one in (reference, current))
    reasons = [str(one) for one in found if one.alarm]
    if then is not None and now is not None and then - now > thresholds.max_macro_f1_drop:
        reasons.append(f"macro-F1 fell from {then:.3f} to {now:.3f}, by more than {thresholds.max_macro_f1_drop:.2f}")
    report = _report(
        reference,
        current,
        "judged",
        bool(reasons),
        reasons or ["every detector stays below its threshold"],
        measurements=tuple(found),
        macro_f1_reference=then,
        macro_f1_current=now,
    )
    return Compared(report, *frames)


def _too_few_rows(reference: Window, current: Window, thresholds: Thresholds) -> tuple[Status, list[str]] | None:
    minimum = thresholds.window.min_rows
    reasons = [
        f"the {role} window {one.name} has {len(one.frame)} rows; at least {minimum} are needed for a verdict"
        for role, one in (("reference", reference), ("current", current))
        if len(one.frame) < minimum
    ]
    return ("too_few_rows", reasons) if reasons else None


def _check(reference: Window, current: Window) -> tuple[Status, list[str]] | None:
    from feature_checks.window_expectations import check_window  # Great Expectations takes seconds to import

    reasons = [
        f"the {role} window {one.name} failed its check: {finding}"
        for role, one in (("reference", reference), ("current", current))
        for finding in check_window(one.frame).failures
    ]
    return ("invalid", reasons) if reasons else None


def _typed(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the checked window with its numbers as numbers, also where a file holds them as text."""
    names = [one.column for one in detectors.DETECTORS if one.method == "wasserstein_normed"]
    present = [name for name in names if name in frame.columns]
    return frame.assign(**{name: pd.to_numeric(frame[name]).astype(float) for name in present})


def _report(
    reference: Window, current: Window, status: Status, drift: bool, reasons: list[str], **measured: Any
) -> DriftReport:
    found = [one.detector for one in measured.get("measurements", ())]
    defaults: dict[str, Any] = {"measurements": (), "macro_f1_reference": None, "macro_f1_current": None}
    return DriftReport(
        window=current.name,
        reference=reference.name,
        status=status,
        drift=drift,
        reasons=tuple(reasons),
        not_measured=tuple(one.name for one in detectors.DETECTORS if one.name not in found),
        reference_rows=len(reference.frame),
        current_rows=len(current.frame),
        reference_total=reference.total_rows,
        current_total=current.total_rows,
        labelled_rows=len(current.labelled),
        model_versions=current.model_versions,
        damaged_lines=reference.damaged_lines + current.damaged_lines,
        **(defaults | measured),
    )
