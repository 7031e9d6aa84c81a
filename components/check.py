"""Check a data set before training: as a pipeline step that stops the run, and as a report on own data."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from components.datasets.columns import SourceOptions
from components.datasets.files import SourceError
from components.datasets.icwsm2014 import DownloadError
from components.datasets.sources import read_sources
from components.reporting import data_check_report
from components.results import data_report, files
from components.results.data_report import DataReport, Problem
from feature_checks import thresholds
from feature_checks.contract import LABEL, LABELS
from feature_checks.state import state_dir
from feature_checks.thresholds import CheckThresholds

if TYPE_CHECKING:
    from feature_checks.expectations.suite import CheckReport

logger = logging.getLogger(__name__)

_CHANGES: Mapping[str, tuple[str, str]] = {
    "duplicates_folded": (
        "{count} rows repeat the text and label of another row and were left out",
        "Nothing needs to be done.",
    ),
    "neutral_left_out": (
        "{count} neutral rows were left out, because neutral=none",
        "Choose neutral=required to keep them.",
    ),
    "neutral_added": (
        "{count} neutral rows of the default data were added, because neutral=from_default",
        "Nothing needs to be done.",
    ),
}


def check(
    data: Path, output: Path, limits: CheckThresholds, *, neutral: str = "required", stop: bool = True
) -> DataReport:
    """Check the data set; write report.html, warnings.json and failures.json to `output`.

    With `neutral` = `none` the data needs no neutral rows. Raises DataCheckError, naming every failed expectation
    with its rows and its remedy, after the report has been written; without `stop`, the report alone says it.

    Example: `check(Path("reviews.parquet"), Path("check"), thresholds.load().check).ok`.
    """
    # Great Expectations takes seconds to import.
    from feature_checks.expectations.reviews import DataCheckError, check_reviews

    frame = pd.read_parquet(data)
    checked = check_reviews(frame, limits, labels_for(neutral))
    report = _report(frame, checked)
    output.mkdir(parents=True, exist_ok=True)
    (output / files.HTML_REPORT).write_text(data_check_report.html(report), encoding="utf-8")
    data_report.save_sentences(report, output)
    for problem in report.problems:
        if problem.severity == "warning":
            logger.warning("data check: %s", problem)
    if stop and not checked.passed:
        raise DataCheckError(checked)
    return report


def inspect(
    source: str,
    *,
    text_column: str = "",
    label_column: str = "",
    rating_column: str = "",
    group_column: str = "",
    rating_scale: str = "auto",
    neutral: str = "required",
) -> DataReport:
    """Check own data before any training: read `source`, and return its problems with a remedy for each.

    The options are those of the training pipeline. A source that cannot be read is reported as a problem too.
    Nothing is trained, and nothing is written except the cache of the default data where that is used.

    Example: `inspect("reviews.csv", text_column="comment").problems`.
    """
    from feature_checks.expectations.reviews import check_reviews

    options = SourceOptions(text_column, label_column, rating_column, group_column, rating_scale, neutral)
    try:
        reading = read_sources(source, cache=state_dir() / "data", options=options)
    except SourceError as error:
        return DataReport(0, {}, [Problem("critical", error.where, error.found, _sentence(error.remedy))])
    except DownloadError as error:
        remedy = "Check the connection to the package index, or use your own data only."
        return DataReport(0, {}, [Problem("critical", source, str(error), remedy)])
    checked = check_reviews(reading.frame, thresholds.load().check, labels_for(neutral))
    changed = [
        Problem("warning", "table", found.format(count=reading.changes[name]), remedy)
        for name, (found, remedy) in _CHANGES.items()
        if name in reading.changes
    ]
    return _report(reading.frame, checked, changed)


def labels_for(neutral: str) -> tuple[str, ...]:
    """Return the labels that the data must have."""
    return tuple(label for label in LABELS if not (label == "neutral" and neutral == "none"))


def _report(frame: pd.DataFrame, checked: CheckReport, changes: list[Problem] | None = None) -> DataReport:
    counts = frame[LABEL].value_counts() if LABEL in frame.columns else pd.Series(dtype=int)
    problems = [
        Problem(finding.severity, finding.column, f"{finding.why}: {finding.found}", finding.remedy, finding.rows)
        for finding in (*checked.failures, *checked.warnings)
    ]
    classes = {str(label): int(count) for label, count in counts.items()}
    return DataReport(len(frame), classes, problems + (changes or []))


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
