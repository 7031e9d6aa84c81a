"""The command that shows what this machine has and what is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipelines.cli.machine import Finding


def doctor() -> None:
    """Show what this machine has, what is missing and how to get it.

    Exit code 0: training and serving work on this machine. Exit code 1: something that they need is missing. What is
    optional serves single tasks, which the table names.

    Example: review-sentiment doctor
    """
    from pipelines.cli.machine import findings
    from pipelines.cli.services import service_findings

    found = [*findings(), *service_findings()]
    _print_table(found)
    missing = [finding.name for finding in found if finding.state == "missing"]
    if missing:
        typer.echo(f"Missing for training and serving on this machine: {', '.join(missing)}.")
        raise typer.Exit(1)
    typer.echo("Training and serving work on this machine.")


def _print_table(found: Sequence[Finding]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    colors = {"ok": "green", "missing": "bold red", "optional": "yellow"}
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("", "what", "found", "how to get it"):
        table.add_column(heading, overflow="fold")
    for finding in found:
        state = Text(finding.state, colors[finding.state])
        table.add_row(state, Text(finding.name), Text(finding.value), Text(finding.remedy))
    Console().print(table)
