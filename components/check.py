"""Gate the data: run the review suite, write its report, stop the run when a critical expectation is not met."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pandas as pd

from components.report import Section, page
from feature_checks.thresholds import CheckThresholds

if TYPE_CHECKING:
    from feature_checks.expectations import CheckReport, Finding

log = logging.getLogger(__name__)

REPORT: Final = "report.html"
WARNINGS: Final = "warnings.json"


def check(data: Path, output: Path, limits: CheckThresholds) -> CheckReport:
    """Check the data set; write report.html and warnings.json to `output`.

    Raises DataCheckError, naming every failed expectation with its rows, after the report has been written.
    """
    # Great Expectations takes seconds to import; the steps that only read the findings need not wait for it.
    from feature_checks.expectations import DataCheckError, check_reviews

    report = check_reviews(pd.read_parquet(data), limits)
    output.mkdir(parents=True, exist_ok=True)
    (output / REPORT).write_text(page("Data check", sections(report)), encoding="utf-8")
    (output / WARNINGS).write_text(json.dumps([str(finding) for finding in report.warnings]), encoding="utf-8")
    for finding in report.warnings:
        log.warning("data check: %s", finding)
    if not report.passed:
        raise DataCheckError(report)
    return report


def load_warnings(folder: Path) -> list[str]:
    """Return the warnings that `check` wrote, a sentence each."""
    warnings: list[str] = json.loads((folder / WARNINGS).read_text(encoding="utf-8"))
    return warnings


def sections(report: CheckReport) -> list[Section]:
    """Return the report's content."""
    verdict = "The data may be used." if report.passed else "The data must not be used: the run stops here."
    counted = f"{report.expectations} expectations over {report.row_count} rows. {verdict}"
    return [
        Section("Verdict", [counted]),
        _table("Failures", report.failures),
        _table("Warnings", report.warnings),
    ]


def _table(heading: str, findings: Sequence[Finding]) -> Section:
    rows = [(finding.column, finding.why, finding.found, ", ".join(finding.rows)) for finding in findings]
    return Section(heading, [] if rows else ["None."], ("column", "expectation", "found", "first rows"), rows)
