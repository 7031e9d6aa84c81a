"""The application that spark-submit runs, and the command that runs it in this process.

spark-submit --master k8s://https://cluster:6443 … local:///…/serving/bulk/spark_app.py s3a://reviews s3a://scored
review-sentiment score reviews scored --engine spark          without a cluster: on the cores of this machine
"""

from __future__ import annotations

import json
import logging
from typing import Annotated, Any, Final

import typer
from rich.progress import Progress as ProgressBar

from feature_checks.contract import TEXT
from feature_checks.processor import available_cores
from feature_checks.spark_session import SparkMissing, spark_session
from serving.bulk import parts as data_parts
from serving.bulk.decisions import reliance_of
from serving.bulk.files import FileError
from serving.bulk.score import load_configured_model
from serving.settings import Settings

PART_ROWS: Final = 5_000
"""The rows of a part: some seconds of work, and the most that a worker which is killed can cost."""

logger = logging.getLogger(__name__)


def score(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="a Parquet file or a folder of them, path or URL")],
    target: Annotated[str, typer.Argument(metavar="TARGET", help="the folder for the results, path or URL")],
    text_column: Annotated[str, typer.Option(help="the column with the texts")] = TEXT,
    part_rows: Annotated[int, typer.Option(min=1, help="rows of a part, which is scored as a whole")] = PART_ROWS,
    decisions: Annotated[bool, typer.Option("--decisions", help="add the columns language, decision, reason")] = False,
    max_error: Annotated[float | None, typer.Option(help="the share of wrong answers that decisions accept")] = None,
) -> None:
    """Score every row of SOURCE with the model of MODEL_URI. If interrupted, run the same command again to resume.

    The report is printed as JSON: rows, rows of each label, truncated rows, and refused rows by reason.
    """
    from serving.bulk.spark import score_parts

    try:
        session = spark_session("review-sentiment score", available_cores())
        prepared = load_configured_model()
        reliance = None
        if decisions or max_error is not None:
            reliance = reliance_of(prepared, max_error, Settings().default_max_error)
        plan = data_parts.plan(source, text_column, part_rows)
        with ProgressBar() as bar:
            task = bar.add_task("scoring parts", total=None)

            def advance(done: int, total: int) -> None:
                bar.update(task, completed=done, total=total)

            report: dict[str, Any] = score_parts(session, prepared, plan, target, advance, reliance)
    except (FileError, OSError, SparkMissing) as error:
        raise typer.BadParameter(str(error)) from error
    typer.echo(json.dumps(report, indent=1))


app = typer.Typer(add_completion=False)
app.command()(score)

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    app()
