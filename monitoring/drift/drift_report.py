"""The drift report: the verdict on one window, with every measurement behind it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

from monitoring.drift.detectors import Measurement

Status = Literal["judged", "too_few_rows", "invalid"]
REPORT_FILE: Final = "report.json"
HTML_FILE: Final = "report.html"


@dataclass(frozen=True)
class DriftReport:
    """The verdict on one window. It holds no review text, so it may leave the machine."""

    window: str
    """Name of the current window. The history keeps one report for each name."""
    reference: str
    """Name of the reference window."""
    status: Status
    """`too_few_rows`: a window is too small to judge. `invalid`: a window failed its check. `judged`: neither."""
    drift: bool
    """Whether the window shows drift. Only a judged window can show drift."""
    reasons: tuple[str, ...]
    """Why the verdict is as it is, one sentence each."""
    measurements: tuple[Measurement, ...]
    """One measurement for each detector that could be computed."""
    not_measured: tuple[str, ...]
    """Detectors whose column is missing in one of the windows."""
    reference_rows: int
    """Number of reference rows that were compared."""
    current_rows: int
    """Number of current rows that were compared."""
    reference_total: int
    """Number of rows that the reference rows were sampled from."""
    current_total: int
    """Number of rows that the current rows were sampled from."""
    labelled_rows: int
    """Number of current rows with a true label."""
    macro_f1_reference: float | None
    """Macro-F1 of the reference window; None if it has too few labels."""
    macro_f1_current: float | None
    """Macro-F1 of the random part of the current window; None if it has too few labels."""
    model_versions: tuple[str, ...]
    """Versions of the model that made the predictions of the current window."""
    damaged_lines: int
    """Number of log lines that are not valid records."""
    macro_f1_interval: tuple[float, float] | None = None
    """The 95 % interval of `macro_f1_current`."""
    model_version: str = ""
    """Version of the champion whose predictions were judged; empty for a file."""
    start: str = ""
    """Start of the window (UTC, ISO 8601); empty for a file."""
    end: str = ""
    """End of the window (UTC, ISO 8601); empty for a file."""
    trainable_rows: int = 0
    """Number of labelled rows that have a text."""
    sustained: float | None = None
    """Evidence over the champion's windows for a small shift that lasts; 1 is none, None if it was not measured."""
    sustained_threshold: float | None = None
    """Evidence of this size or more is drift."""

    expected_accuracy: float | None = None
    """The accuracy that the confidences lead to expect, without labels; None if it is withheld or unknown."""
    expected_accuracy_interval: tuple[float, float] | None = None
    """Holds the accuracy of the current rows in 95 % of cases."""

    @property
    def accuracy_in_words(self) -> str:
        """The expected accuracy with its interval, or why there is none."""
        if self.expected_accuracy is not None and self.expected_accuracy_interval is not None:
            return "{:.3f} ({:.3f} to {:.3f})".format(self.expected_accuracy, *self.expected_accuracy_interval)
        if self.drift:
            return "withheld: in a window with drift, confidence says little about accuracy"
        if self.status != "judged":
            return "withheld: the window was not judged"
        return "unknown: the reference window has too few labels, or a window has no confidences"

    @property
    def is_sustained(self) -> bool:
        """Whether the evidence over the champion's windows is enough for drift."""
        if self.sustained is None or self.sustained_threshold is None:
            return False
        return self.sustained >= self.sustained_threshold

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON types, the verdict first. Values that are unknown are absent, never null."""
        content = {name: value for name, value in asdict(self).items() if value is not None}
        first = {name: content.pop(name) for name in ("drift", "status", "reasons")}
        return first | content

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> DriftReport:
        """Return the report that `to_dict` returned, also after JSON."""
        measurements = tuple(Measurement(**measurement) for measurement in content["measurements"])
        lists = {name: tuple(content[name]) for name in ("reasons", "not_measured", "model_versions")}
        for name in ("macro_f1_interval", "expected_accuracy_interval"):
            if name in content:
                lists[name] = tuple(content[name])
        unknown = {"macro_f1_reference": None, "macro_f1_current": None}
        return cls(**(unknown | content | lists | {"measurements": measurements}))

    def save(self, folder: Path) -> Path:
        """Write report.json into the folder and return its path."""
        path = folder / REPORT_FILE
        path.write_text(json.dumps(self.to_dict(), indent=2, allow_nan=False) + "\n", encoding="utf-8")
        return path
