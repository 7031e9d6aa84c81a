"""The report of a data check: the verdict, what failed, in which rows, and how to mend it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from components.reporting.pages import Section, Verdict, page
from components.results.data_report import DataReport, Problem

ROWS_SHOWN: Final = 5
"""Row ids shown for a problem."""


def html(report: DataReport) -> str:
    """Return the page."""
    return page("Data check", sections(report), verdict(report))


def verdict(report: DataReport) -> Verdict:
    """Return whether the data may be used."""
    failures = sum(problem.severity == "critical" for problem in report.problems)
    if failures:
        count = "1 problem" if failures == 1 else f"{failures} problems"
        return Verdict("bad", f"The data cannot be used: {count} must be mended before training.")
    if report.problems:
        return Verdict("watch", "The data may be used. The warnings below are copied to the model card.")
    return Verdict("good", "The data may be used. No problem was found.")


def sections(report: DataReport) -> list[Section]:
    """Return the report's content."""
    failures = [problem for problem in report.problems if problem.severity == "critical"]
    warnings = [problem for problem in report.problems if problem.severity == "warning"]
    counts = [(label, count, f"{count / max(report.rows, 1):.1%}") for label, count in report.classes.items()]
    return [
        _problems("Problems that stop the training", failures),
        _problems("Warnings", warnings),
        Section("Rows", [f"The data has {report.rows} rows."], columns=("label", "rows", "share"), rows=counts),
    ]


def _problems(heading: str, problems: Sequence[Problem]) -> Section:
    rows = [(p.where, p.found, p.remedy, _first(p.rows)) for p in problems]
    columns = ("column", "what was found", "how to mend it", "first rows")
    return Section(heading, [] if rows else ["None."], columns, rows)


def _first(rows: Sequence[str]) -> str:
    return ", ".join([*rows[:ROWS_SHOWN], *(["…"] if len(rows) > ROWS_SHOWN else [])]) or "–"
