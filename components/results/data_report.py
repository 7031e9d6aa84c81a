"""What the data check reports to people: the problems of a data set and how to mend each one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from components.results import files

Severity = Literal["critical", "warning"]


@dataclass(frozen=True)
class Problem:
    """One problem of a data set. It names rows and never quotes texts, so it may leave the machine."""

    severity: Severity
    """A critical problem stops the training; a warning is carried to the model card."""
    where: str
    """The column, or `table` where the problem concerns the whole data set."""
    found: str
    """What is wrong, and in how many rows."""
    remedy: str
    """What to change in the data or in the options."""
    rows: tuple[str, ...] = ()
    """Ids of the first rows concerned, `FILE:NUMBER` counted from 0 unless the data has a `row_id` column."""

    def __str__(self) -> str:
        """Return the problem as one line for logs and for the model card."""
        rows = f" (first rows {', '.join(self.rows[:5])})" if self.rows else ""
        return f"{self.where}: {self.found}{rows}. {self.remedy}"


@dataclass(frozen=True)
class DataReport:
    """The outcome of a data check.

    Example: `if not report.ok: print(*report.problems, sep="\\n")`.
    """

    rows: int
    """Rows that training would use, after duplicates were folded."""
    classes: Mapping[str, int]
    """Number of rows of each label."""
    problems: list[Problem]

    @property
    def ok(self) -> bool:
        """Whether a model may be trained on the data: no problem is critical."""
        return all(problem.severity != "critical" for problem in self.problems)


class DataRefusedError(ValueError):
    """The data check found critical problems; the message lists them with their remedies."""

    def __init__(self, sentences: Sequence[str]) -> None:
        super().__init__("the data check failed:\n" + "\n".join(f"  - {sentence}" for sentence in sentences))


def save_sentences(report: DataReport, folder: Path) -> None:
    """Write the problems to `folder`, a sentence each: the warnings, and what stops the training."""
    for severity, name in (("warning", files.DATA_WARNINGS), ("critical", files.DATA_FAILURES)):
        sentences = [str(problem) for problem in report.problems if problem.severity == severity]
        (folder / name).write_text(json.dumps(sentences), encoding="utf-8")


def require_usable(folder: Path) -> None:
    """Raise DataRefusedError if the data check that wrote to `folder` found a critical problem."""
    sentences: list[str] = json.loads((folder / files.DATA_FAILURES).read_text(encoding="utf-8"))
    if sentences:
        raise DataRefusedError(sentences)


def load_warnings(folder: Path) -> list[str]:
    """Read the warnings that `save_sentences` wrote."""
    warnings: list[str] = json.loads((folder / files.DATA_WARNINGS).read_text(encoding="utf-8"))
    return warnings
