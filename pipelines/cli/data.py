"""The command that checks your own data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from components.results.data_report import DataReport, Problem


def check(
    source: str = typer.Argument(..., help="Your reviews: a CSV, JSONL or Parquet file, a folder of them, or a URL."),
    text_column: str = typer.Option("", help="Column with the texts, where it has an unusual name."),
    label_column: str = typer.Option("", help="Column with the labels."),
    rating_column: str = typer.Option("", help="Column with the ratings."),
    group_column: str = typer.Option("", help="Column that names the review which a row belongs to."),
    rating_scale: str = typer.Option("auto", help="Scale of the ratings, such as 1..5 or -4..4."),
    neutral: str = typer.Option("required", help="Data without neutral rows: required, from_default or none."),
) -> None:
    """Check your own reviews in seconds, before any training: what is wrong, and how to mend it.

    Exit code 0: the data may be used. Exit code 1: training would refuse it.

    \b
    Example:
      review-sentiment check reviews.csv
      review-sentiment check s3://bucket/reviews.parquet --text-column comment --rating-column stars
    """
    from components.check import inspect

    report = inspect(
        source,
        text_column=text_column,
        label_column=label_column,
        rating_column=rating_column,
        group_column=group_column,
        rating_scale=rating_scale,
        neutral=neutral,
    )
    _show(source, report)
    if not report.ok:
        raise typer.Exit(1)


def _show(source: str, report: DataReport) -> None:
    classes = ", ".join(f"{label} {count:,}" for label, count in report.classes.items())
    heading = f"{source}: {report.rows:,} rows" if report.rows else source
    typer.echo(f"{heading} ({classes})" if classes else heading)
    if report.problems:
        _print_table(report.problems)
    warnings = sum(problem.severity == "warning" for problem in report.problems)
    if report.ok:
        counted = f"; {warnings} {'warning' if warnings == 1 else 'warnings'}" if warnings else ""
        typer.echo(f"The data may be used{counted}.")
    else:
        typer.echo("Training would refuse the data. Mend the problems marked critical, then run the check again.")


def _print_table(problems: Sequence[Problem]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    colors = {"critical": "bold red", "warning": "yellow"}
    table = Table("", "where", "found", "how to mend it", box=box.SIMPLE_HEAD, show_lines=True)
    for problem in problems:
        rows = f"\nrows {', '.join(problem.rows)}" if problem.rows else ""
        severity = Text(problem.severity, colors[problem.severity])
        table.add_row(severity, Text(problem.where), Text(problem.found + rows), Text(problem.remedy))
    Console().print(table)
