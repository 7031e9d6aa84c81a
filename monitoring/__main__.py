"""From logged predictions to a drift report and a decision.

python -m monitoring report --reference a.jsonl --current b.parquet --output DIR
python -m monitoring report --reference champion.parquet --log s3://bucket/log --hours 24 --output DIR
python -m monitoring decide --history HISTORY
python -m monitoring reference --bundle DIR --data reviews.parquet --output champion.parquet
python -m monitoring calibrate --data reviews.parquet
python -m monitoring claim --data reviews.parquet --other tweets=tweets.parquet
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from monitoring import thresholds as limits

app = typer.Typer(add_completion=False, help=__doc__, pretty_exceptions_enable=False)

ThresholdsFile = Annotated[Path, typer.Option("--thresholds", help="Thresholds file.")]
HistoryUrl = Annotated[str, typer.Option(help="Folder or fsspec URL where reports and decisions are kept.")]
Sizes = Annotated[tuple[int, int], typer.Option(help="Rows of the reference and of the current window.")]


class FamilyName(StrEnum):
    """Which detectors: those of the texts, or those of the predictions."""

    text = "text"
    prediction = "prediction"


class SplitName(StrEnum):
    """Splits that a window may be made of: training rows are in none, a model is surer on what it has seen."""

    validation = "validation"
    test = "test"


class ShapeName(StrEnum):
    """Shapes of a webhook's body."""

    slack = "slack"
    alertmanager = "alertmanager"


@app.command()
def report(
    reference: Annotated[str, typer.Option(help="JSONL or Parquet file with `text` (and label, confidence).")],
    output: Annotated[Path, typer.Option(help="Folder for report.html and report.json.")],
    current: Annotated[str, typer.Option(help="The current window as such a file.")] = "",
    log: Annotated[str, typer.Option(help="The prediction log (folder or URL) to take the current window from.")] = "",
    hours: Annotated[float | None, typer.Option(help="With --log: the last hours before --end.")] = None,
    rows: Annotated[int | None, typer.Option(help="With --log: the last rows before --end.")] = None,
    end: Annotated[str, typer.Option(help="With --log: end of the window, ISO 8601; default now.")] = "",
    model_version: Annotated[str, typer.Option(help="With --log: only predictions of this version.")] = "",
    history: HistoryUrl = "",
    labelled: Annotated[str, typer.Option(help="Parquet file or URL for the labelled rows, as training data.")] = "",
    workspace: Annotated[str, typer.Option(help="Evidently workspace to add the report to: folder or URL.")] = "",
    mlflow: Annotated[str, typer.Option(help="MLflow tracking URI to log the report to.")] = "",
    thresholds: ThresholdsFile = limits.DEFAULT,
) -> None:
    """Compare two windows; print the verdict as one JSON object."""
    from monitoring import drift, watch
    from monitoring.window import WindowError, from_file, from_log, write_labelled

    values = limits.load(thresholds)
    try:
        if bool(current) == bool(log):
            raise WindowError(f"found --current {current!r} and --log {log!r}; expected exactly one of them")
        bound = values.window.current_rows
        now = (
            from_file(current, bound)
            if current
            else from_log(
                log, max_rows=bound, end=_moment(end), hours=hours, last_rows=rows, model_version=model_version or None
            )
        )
        keep = watch.Keep(history, workspace, mlflow)
        found = watch.report(reference, now, output, keep, values)
    except WindowError as error:
        _refuse(str(error))
    if labelled:
        write_labelled(now, labelled)
    _show(found.to_dict() | {"html": str(output / drift.HTML)})


@app.command()
def decide(
    history: HistoryUrl,
    webhook: Annotated[str, typer.Option(help="Where decisions other than OK are posted.")] = "",
    shape: Annotated[ShapeName, typer.Option(help="Shape of the webhook's body.")] = ShapeName.slack,
    report_url: Annotated[str, typer.Option(help="Link to the report, for the alert.")] = "",
    thresholds: ThresholdsFile = limits.DEFAULT,
) -> None:
    """Decide on the kept reports, keep the decision, print it as one JSON object."""
    from monitoring import watch
    from monitoring.alerts import AlertError

    decision = watch.decide(history, limits.load(thresholds))
    _show(decision.to_dict())
    try:
        watch.alert(decision, webhook, shape.value, report_url)
    except AlertError as error:
        _refuse(f"the decision is kept, but {error}")


@app.command()
def reference(
    bundle: Annotated[Path, typer.Option(help="Bundle folder of the champion.")],
    data: Annotated[Path, typer.Option(help="Parquet file with text, label and split.")],
    output: Annotated[Path, typer.Option(help="Parquet file to write.")],
    split: Annotated[SplitName, typer.Option(help="Which rows.")] = SplitName.validation,
) -> None:
    """Score a champion's validation split as the reference window."""
    from monitoring.window import reference_of_champion

    count = reference_of_champion(bundle, data, output, split.value)
    _show({"output": str(output), "rows": count})


@app.command()
def calibrate(
    data: Annotated[list[str], typer.Option(help="JSONL or Parquet file of one domain: text, group_id; may repeat.")],
    family: Annotated[FamilyName, typer.Option(help="Which detectors.")] = FamilyName.text,
    sizes: Sizes = (1500, 500),
    output: Annotated[Path, typer.Option(help="JSON file for the measurement.")] = Path("calibration.json"),
    thresholds: ThresholdsFile = limits.DEFAULT,
) -> None:
    """Choose the margins in the thresholds file from windows without drift."""
    from monitoring import calibrate as calibration

    found = calibration.calibrate(calibration.read_reviews(*data), limits.load(thresholds), family.value, sizes)
    calibration.write_margins(thresholds, found)
    calibration.save(output, found)
    _show({"margins": found.margins, "false_alarms": found.false_alarms, "partitions": found.partitions})


@app.command()
def claim(
    data: Annotated[list[str], typer.Option(help="JSONL or Parquet file of one domain: text, group_id; may repeat.")],
    other: Annotated[list[str], typer.Option(help="NAME=FILE of another domain; may be given again.")],
    family: Annotated[FamilyName, typer.Option(help="Which detectors.")] = FamilyName.text,
    sizes: Sizes = (1500, 500),
    output: Annotated[Path, typer.Option(help="JSON file for the measurement.")] = Path("claims.json"),
    thresholds: ThresholdsFile = limits.DEFAULT,
) -> None:
    """Measure how often windows with and without drift alarm; print a Markdown table."""
    from monitoring import calibrate as calibration

    others = {name: calibration.read_reviews(path) for name, _, path in (one.partition("=") for one in other)}
    same = calibration.read_reviews(*data)
    found = calibration.claims(same, others, limits.load(thresholds), family.value, sizes)
    calibration.save(output, found)
    typer.echo(calibration.table(found))


def _moment(value: str) -> datetime:
    moment = datetime.fromisoformat(value) if value else datetime.now(UTC)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _show(content: dict[str, Any]) -> None:
    typer.echo(json.dumps(content))


def _refuse(message: str) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(2)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    app()
