"""The command that publishes the drift history."""

from __future__ import annotations

from pathlib import Path

import typer


def site(
    history: str = typer.Option(
        "", help="Folder or URL of the kept reports; by default STATE_DIR/drift/history.", show_default=False
    ),
    output: Path | None = typer.Option(
        None, help="Folder for the site; by default STATE_DIR/drift/site.", show_default=False
    ),
) -> None:
    """Write the drift history as a static web site: verdicts over time, detectors, retrainings, links to reports.

    Example: review-sentiment site --history s3://bucket/drift --output site
    """
    from feature_checks.state import state_dir
    from monitoring.site import write_site

    kept = state_dir() / "drift"
    typer.echo(f"site {write_site(history or str(kept / 'history'), output or kept / 'site')}")
