"""Commands that move the champion alias."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer


def promote(
    version: str = typer.Option("", help="Version to promote; by default the challenger.", show_default=False),
) -> None:
    """Make an accepted version the champion. Running predictors load it within seconds.

    The registry is that of MLFLOW_TRACKING_URI, by default the one in STATE_DIR.

    \b
    Example:
      review-sentiment promote
      review-sentiment promote --version 7
    """
    from components.registry import aliases

    with _refusals():
        chosen = version or aliases.version_of("challenger")
        if not chosen:
            raise typer.BadParameter("no version has the alias 'challenger'; name one with --version")
        aliases.make_champion(chosen)
        typer.echo(f"champion is version {chosen}")


def rollback(
    champion: str = typer.Option("", help="Only if this version is still the champion.", show_default=False),
) -> None:
    """Make the previous champion the champion again.

    \b
    Example:
      review-sentiment rollback
      review-sentiment rollback --champion 7
    """
    from components.registry import aliases

    with _refusals():
        typer.echo(f"champion is version {aliases.rollback(champion)}")


def explain(version: str = typer.Argument(..., help="Version of the registered model.")) -> None:
    """Say which rules of the gate a version met and failed, by how much, and how to train it again.

    Example: review-sentiment explain 7
    """
    from components.registry.explanation import explain as explanation

    with _refusals():
        typer.echo(explanation(version))


def prune(
    days: float = typer.Option(365.0, help="Keep rejected versions that are younger."),
    yes: bool = typer.Option(False, "--yes", help="Delete them; without this they are only listed."),
) -> None:
    """List, or delete, rejected versions of the model that are older than a year.

    Versions that are or were champion, and those with an alias, are kept. `mlflow gc` frees the disk space afterwards.

    \b
    Example:
      review-sentiment prune
      review-sentiment prune --days 730 --yes
    """
    from components.registry import retention
    from feature_checks import thresholds

    with _refusals():
        if days < thresholds.load().gate.attempt_days:
            raise typer.BadParameter(
                f"--days is {days:g}; the gate counts the rejected versions of {thresholds.load().gate.attempt_days} "
                "days, so that many are kept at least"
            )
        versions = retention.rejected_versions(days)
        if not versions:
            typer.echo(f"no rejected version is older than {days:g} days")
        for version in versions:
            if yes:
                retention.remove(version)
            typer.echo(f"version {version} {'deleted' if yes else 'would be deleted'}")


@contextmanager
def _refusals() -> Iterator[None]:
    from mlflow.exceptions import MlflowException

    from components.registry.aliases import PromotionError

    try:
        yield
    except (PromotionError, MlflowException) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
