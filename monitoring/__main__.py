"""Judge windows of predictions and decide whether to retrain.

python -m monitoring report --reference a.jsonl --current b.parquet --output DIR
python -m monitoring report --reference champion.parquet --log s3://bucket/log --hours 24 --output DIR
python -m monitoring decide --history HISTORY
python -m monitoring outcome --history HISTORY --version 4 --promoted --reason "the gate accepted it"
python -m monitoring site --history HISTORY --output site
python -m monitoring reference --bundle DIR --data reviews.parquet --output champion.parquet
python -m monitoring calibrate --data reviews.parquet
python -m monitoring claim --data reviews.parquet --other tweets=tweets.parquet
"""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from monitoring import drift_thresholds

app = typer.Typer(add_completion=False, help=__doc__, pretty_exceptions_enable=False)

ThresholdsFile = Annotated[Path, typer.Option("--thresholds", help="Thresholds file (TOML).")]
HistoryUrl = Annotated[str, typer.Option(help="Folder or fsspec URL that keeps reports and decisions.")]
Reviews = Annotated[list[str], typer.Option(help="JSONL or Parquet file with `text` and `group_id`. May be repeated.")]
Sizes = Annotated[tuple[int, int], typer.Option(help="Rows of the reference and of the current window.")]


class FamilyName(StrEnum):
    """Detectors of the texts, or detectors of the predictions."""

    text = "text"
    prediction = "prediction"


class SplitName(StrEnum):
    """Splits that a reference window may come from. A model is too confident on its training rows."""

    validation = "validation"
    test = "test"


class EngineName(StrEnum):
    """What reads the prediction log."""

    duckdb = "duckdb"
    spark = "spark"
    lines = "lines"


class WebhookFormat(StrEnum):
    """Formats of the body that a webhook receives."""

    slack = "slack"
    alertmanager = "alertmanager"


LogEngineName = Annotated[EngineName, typer.Option(help="With --log: what reads it; the rows are the same.")]


@app.command()
def report(
    reference: Annotated[str, typer.Option(help="JSONL or Parquet file with `text` (and label, confidence).")],
    output: Annotated[Path, typer.Option(help="Folder for report.html and report.json.")],
    current: Annotated[str, typer.Option(help="The current window as a file in the same format.")] = "",
    log: Annotated[str, typer.Option(help="Prediction log (folder or URL) to read the current window from.")] = "",
    hours: Annotated[float | None, typer.Option(help="With --log: length of the window in hours.")] = None,
    rows: Annotated[int | None, typer.Option(help="With --log: number of newest predictions.")] = None,
    end: Annotated[str, typer.Option(help="With --log: end of the window, ISO 8601. Default: now.")] = "",
    model_version: Annotated[str, typer.Option(help="With --log: read only predictions of this model version.")] = "",
    engine: Annotated[
        EngineName, typer.Option(help="With --log: what reads it; the rows are the same.")
    ] = EngineName.duckdb,
    history: HistoryUrl = "",
    labelled: Annotated[str, typer.Option(help="Parquet file or URL for the labelled rows, as training data.")] = "",
    label_requests: Annotated[str, typer.Option(help="JSONL file or URL for the rows that people should label.")] = "",
    workspace: Annotated[str, typer.Option(help="Evidently workspace (folder or URL) that gets the report.")] = "",
    mlflow: Annotated[str, typer.Option(help="MLflow tracking URI to which the report is logged.")] = "",
    thresholds: ThresholdsFile = drift_thresholds.DEFAULT,
) -> None:
    """Compare two windows and print the verdict as one JSON object."""
    from monitoring import steps
    from monitoring.drift.drift_report import HTML_FILE
    from monitoring.prediction_log.engines import engine_named
    from monitoring.windows.file_reader import from_file
    from monitoring.windows.log_window import from_log
    from monitoring.windows.window import WindowError

    values = drift_thresholds.load(thresholds)
    try:
        if bool(current) == bool(log):
            raise WindowError(f"found --current {current!r} and --log {log!r}; expected exactly one of them")
        bound = values.window.current_rows
        which: dict[str, Any] = {"hours": hours, "last_rows": rows, "model_version": model_version or None}
        window = (
            from_file(current, bound)
            if current
            else from_log(log, max_rows=bound, end=_moment(end), engine=engine_named(engine.value), **which)
        )
        destinations = steps.ReportDestinations(history, workspace, mlflow, label_requests)
        verdict = steps.judge_window(reference, window, output, destinations, values)
    except WindowError as error:
        _refuse(str(error))
    if labelled:
        steps.store_labels(window, labelled, log=log, history=history)
    _print_json(verdict.to_dict() | {"html": str(output / HTML_FILE)})


@app.command()
def decide(
    history: HistoryUrl,
    webhook: Annotated[str, typer.Option(help="URL to which decisions other than OK are posted.")] = "",
    shape: Annotated[WebhookFormat, typer.Option(help="Format of the webhook's body.")] = WebhookFormat.slack,
    report_url: Annotated[str, typer.Option(help="Link to the report, which the alert shows.")] = "",
    thresholds: ThresholdsFile = drift_thresholds.DEFAULT,
) -> None:
    """Decide on the kept reports, keep the decision and print it as one JSON object."""
    from monitoring import steps
    from monitoring.alerts import AlertError

    decision = steps.decide(history, drift_thresholds.load(thresholds))
    _print_json(decision.to_dict())
    try:
        steps.alert(decision, webhook, shape.value, report_url)
    except AlertError as error:
        _refuse(f"the decision was kept, but the alert failed: {error}")


@app.command()
def outcome(
    history: HistoryUrl,
    reason: Annotated[str, typer.Option(help="Why the candidate was or was not promoted.")],
    version: Annotated[str, typer.Option(help="Version of the candidate; empty if the retraining failed.")] = "",
    promoted: Annotated[bool, typer.Option(help="Whether the candidate became the champion.")] = False,
) -> None:
    """Keep what became of a retraining: the cooldown starts at this outcome."""
    from monitoring import steps

    kept = steps.record_outcome(history, version=version, promoted=promoted, reason=reason)
    _print_json(asdict(kept))


@app.command()
def site(
    history: HistoryUrl,
    output: Annotated[Path, typer.Option(help="Folder for the site; open its index.html in a browser.")],
) -> None:
    """Write a static site of the drift history."""
    from monitoring.site import write_site

    _print_json({"site": str(write_site(history, output))})


@app.command()
def reference(
    bundle: Annotated[Path, typer.Option(help="Bundle folder of the champion.")],
    data: Annotated[Path, typer.Option(help="Parquet file with text, label and split.")],
    output: Annotated[Path, typer.Option(help="Parquet file to write.")],
    split: Annotated[SplitName, typer.Option(help="Split whose rows are scored.")] = SplitName.validation,
) -> None:
    """Write the reference window of a champion: its predictions on the validation split."""
    from monitoring.windows.reference import write_reference_window

    count = write_reference_window(bundle, data, output, split.value)
    _print_json({"output": str(output), "rows": count})


@app.command()
def calibrate(
    data: Annotated[
        list[str], typer.Option(help="JSONL or Parquet file of one domain with `text` and `group_id`. May be repeated.")
    ],
    family: Annotated[FamilyName, typer.Option(help="Detectors to calibrate or measure.")] = FamilyName.text,
    sizes: Sizes = (1500, 500),
    output: Annotated[Path, typer.Option(help="JSON file to write the measurement to.")] = Path("calibration.json"),
    thresholds: ThresholdsFile = drift_thresholds.DEFAULT,
) -> None:
    """Choose the margins from windows without drift, and write them into the thresholds file."""
    from monitoring.calibration import margins
    from monitoring.calibration.partitions import read_reviews
    from monitoring.windows.window import WindowError

    try:
        calibration = margins.calibrate(read_reviews(*data), drift_thresholds.load(thresholds), family.value, sizes)
    except WindowError as error:
        _refuse(str(error))
    margins.write_margins(thresholds, calibration)
    margins.save(output, calibration)
    _print_json({name: getattr(calibration, name) for name in ("margins", "false_alarms", "partitions")})


@app.command()
def claim(
    data: Annotated[
        list[str], typer.Option(help="JSONL or Parquet file of one domain with `text` and `group_id`. May be repeated.")
    ],
    other: Annotated[list[str], typer.Option(help="NAME=FILE of another domain. May be repeated.")],
    family: Annotated[FamilyName, typer.Option(help="Detectors to calibrate or measure.")] = FamilyName.text,
    sizes: Sizes = (1500, 500),
    output: Annotated[Path, typer.Option(help="JSON file to write the measurement to.")] = Path("claims.json"),
    thresholds: ThresholdsFile = drift_thresholds.DEFAULT,
) -> None:
    """Measure how often windows with and without drift alarm, and print a Markdown table."""
    from monitoring.calibration import alarm_rates
    from monitoring.calibration.partitions import read_reviews
    from monitoring.windows.window import WindowError

    limits = drift_thresholds.load(thresholds)
    try:
        others = {name: read_reviews(path) for name, _, path in (value.partition("=") for value in other)}
        rates = alarm_rates.alarm_rates(read_reviews(*data), others, limits, family.value, sizes)
    except WindowError as error:
        _refuse(str(error))
    alarm_rates.save(output, rates)
    typer.echo(alarm_rates.table(rates))


def _moment(value: str) -> datetime:
    moment = datetime.fromisoformat(value) if value else datetime.now(UTC)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _print_json(content: dict[str, Any]) -> None:
    typer.echo(json.dumps(content))


def _refuse(message: str) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(2)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    app()
