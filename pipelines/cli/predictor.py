"""Commands that serve the model."""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from pathlib import Path

import typer


def serve(
    model_name: str | None = typer.Option(None, "--model_name", "--model-name", help="Name in paths and replies."),
    model_dir: Path | None = typer.Option(None, "--model_dir", "--model-dir", help="Folder of a bundle to serve."),
    http_port: int | None = typer.Option(None, "--http_port", "--http-port", help="REST port."),
    grpc_port: int | None = typer.Option(None, "--grpc_port", "--grpc-port", help="gRPC port."),
) -> None:
    """Serve MODEL_URI, by default the champion, until the process is stopped: REST on 8080, gRPC on 8081.

    Settings are environment variables, such as HTTP_PORT, GRPC_PORT, REDIS_URL and RATE_LIMIT. The options are those
    that KServe gives to its servers; each precedes the environment variable of its name.

    \b
    Example:
      review-sentiment serve
      review-sentiment serve --model_name reviews --http_port 9090
      MODEL_URI=models:/review-sentiment@challenger HTTP_PORT=9090 review-sentiment serve
    """
    # The predictor replaces this process: it gets the signals itself, and nothing imported here stays in its memory.
    sys.stdout.flush()
    given = {"model_name": model_name, "model_dir": model_dir, "http_port": http_port, "grpc_port": grpc_port}
    arguments = [f"--{name}={value}" for name, value in given.items() if value is not None]
    os.execv(sys.executable, [sys.executable, "-m", "serving", *arguments])  # noqa: S606


class ScoreEngine(StrEnum):
    """What scores a file."""

    local = "local"
    spark = "spark"


def score(
    source: str = typer.Argument(..., metavar="INPUT", help="A .csv, .jsonl or .parquet file."),
    output: str = typer.Argument(..., metavar="OUTPUT", help="Where the results go, in any of these formats."),
    text_column: str = typer.Option("text", help="Column of the input that holds the texts."),
    engine: ScoreEngine = typer.Option(
        ScoreEngine.local,
        help="spark: INPUT is a Parquet file or a folder of them, OUTPUT a folder; both may be URLs.",
    ),
    part_rows: int = typer.Option(5_000, min=1, help="With spark: rows of a part, which is scored as a whole."),
    decisions: bool = typer.Option(False, "--decisions", help="Add the columns language, decision and reason."),
    max_error: float | None = typer.Option(
        None, help="The share of wrong answers that decisions accept, such as 0.1; adds the same columns."
    ),
) -> None:
    """Score every row of a file with the model that MODEL_URI names, by default the champion.

    If it is interrupted, run the same command again to resume.

    \b
    Example:
      review-sentiment score reviews.csv scored.parquet
      review-sentiment score reviews.csv scored.csv --max-error 0.1
      review-sentiment score s3://bucket/reviews s3://bucket/scored --engine spark
    """
    if engine is ScoreEngine.spark:
        from serving.bulk.spark_app import score as score_on_spark

        score_on_spark(source, output, text_column, part_rows, decisions, max_error)
        return
    from serving.bulk.score import score as score_rows

    score_rows(Path(source), Path(output), text_column, decisions, max_error)
    typer.echo(f"results {output}", err=True)
