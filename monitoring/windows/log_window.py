"""Windows from the prediction log.

Reading the same window twice gives the same rows: the sample is chosen by a hash of request id and item.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Final

import pandas as pd

from feature_checks.contract import FEEDBACK_SOURCE, GROUP_ID, ROW_ID, TEXT
from feature_checks.prediction_record import TRUE_LABEL
from monitoring.prediction_log.engine import LogEngine, Selection, WindowRows
from monitoring.prediction_log.records import LABELLED_AT, LABELLED_BY, Row, by_time
from monitoring.prediction_log.sample import Sample
from monitoring.windows.log_reader import LogReader
from monitoring.windows.window import MAX_LABELLED, Window, WindowError, known_columns

PREDICTED_AT: Final = "predicted_at"
"""Column with the time of the prediction, which says to which window a labelled row belongs."""
COLUMNS_OF_LABELS: Final = (TEXT, TRUE_LABEL, PREDICTED_AT, LABELLED_AT, LABELLED_BY)
RANDOM_ROWS: Final = 120
"""Rows of the random part of a window."""


def from_log(
    target: str,
    *,
    max_rows: int,
    end: datetime,
    hours: float | None = None,
    last_rows: int | None = None,
    model_version: str | None = None,
    random_rows: int = RANDOM_ROWS,
    engine: LogEngine | None = None,
) -> Window:
    """Read the predictions before `end`: those of the last `hours`, or the last `last_rows` predictions.

    Only the sample (at most `max_rows` rows) and the labelled rows are held in memory, and the last rows where a
    number of rows is asked for. A window of hours is named by its end, a window of rows by its newest prediction, so
    that a repeated run without new predictions gets the same window. `engine` reads the log, by default DuckDB; every
    engine gives the same window. Raises WindowError unless exactly one of `hours` and `last_rows` is given.

    Example: `from_log("s3://bucket/log", max_rows=500, end=datetime.now(UTC), hours=24)`.
    """
    if (hours is None) == (last_rows is None):
        raise WindowError(f"found hours={hours}, last_rows={last_rows}; expected exactly one of them")
    reader = LogReader(target, engine)
    if hours is not None:
        start, length = end - timedelta(hours=hours), f"{hours:g}h"
        labels = reader.feedback(start)
        found = reader.window(start, end, model_version=model_version, size=max_rows, labels=labels)
    else:
        start, end, found = _last_rows(reader, end, last_rows or 0, model_version, max_rows)
        length = f"{last_rows}rows"
    version = f"-v{model_version}" if model_version else ""
    return Window(
        name=f"{_compact(end)}-{length}{version}",
        frame=_with_ids(sorted(found.sample, key=by_time)),
        total_rows=found.total,
        labelled=labelled_rows(found.labelled[-MAX_LABELLED:]),
        labels=labelled_rows(found.labels[-MAX_LABELLED:]),
        random_part=_with_ids(found.sample[:random_rows]),
        model_versions=found.versions,
        model_version=model_version or "",
        start=start.astimezone(UTC).isoformat(timespec="milliseconds"),
        end=end.astimezone(UTC).isoformat(timespec="milliseconds"),
        damaged_lines=reader.damaged_lines,
    )


def _last_rows(
    reader: LogReader, end: datetime, count: int, model_version: str | None, size: int
) -> tuple[datetime, datetime, WindowRows]:
    """Return start, end and rows of the window of the last `count` predictions before `end`."""
    newest = reader.newest(end, count, model_version)
    start, end = _span(newest, end)
    sample = Sample(Selection.between(start, end, model_version, size), reader.feedback(start) if newest else {})
    for row in newest:
        sample.add(row)
    return start, end, sample.rows()


def late_labels(
    target: str, *, since: datetime, before: str, known: Collection[str], engine: LogEngine | None = None
) -> pd.DataFrame:
    """Return the labelled predictions made from `since` until `before` (ISO 8601) whose labels are not in `known`.

    Labels often arrive after the window of their prediction was judged. `known` holds an entry `ROW_ID@LABELLED_AT`
    for each label that is stored already; the predictions are read only if there is another label. A prediction that
    several users labelled is returned once for each.
    """
    reader = LogReader(target, engine)
    unknown = {
        key: [row for row in rows if f"{_row_id(row)}@{row['timestamp']}" not in known]
        for key, rows in reader.feedback(since).items()
    }
    feedback = {key: rows for key, rows in unknown.items() if rows}
    if not feedback or not before:
        return labelled_rows([])
    end = datetime.fromisoformat(before)
    return labelled_rows(reader.window(since, end, model_version=None, size=0, labels=feedback).labels)


def labelled_rows(rows: list[Row]) -> pd.DataFrame:
    """Return labelled log rows as a frame with their ids, the time of the prediction and the time of the label."""
    frame = _with_ids(rows)
    if not rows:
        return frame.assign(**{name: pd.Series(dtype=str) for name in COLUMNS_OF_LABELS})
    about = {name: [row[name] for row in rows] for name in (LABELLED_AT, LABELLED_BY)}
    return frame.assign(**{PREDICTED_AT: [row["timestamp"] for row in rows]}, **about)


def _with_ids(rows: list[Row]) -> pd.DataFrame:
    # A member that no line has is no column: what can be computed from the text is then computed.
    frame = known_columns(pd.DataFrame(rows).dropna(axis="columns", how="all"))
    return frame.assign(**{
        GROUP_ID: [f"{FEEDBACK_SOURCE}:{row['request_id']}" for row in rows],
        ROW_ID: [_row_id(row) for row in rows],
    })  # fmt: skip


def _row_id(row: Row) -> str:
    return f"{FEEDBACK_SOURCE}:{row['request_id']}:{row['item']}"


def _span(newest: list[Row], end: datetime) -> tuple[datetime, datetime]:
    """Return the start and the end of a window of rows, the newest row first."""
    if not newest:
        return end, end
    first, last = (datetime.fromisoformat(row["timestamp"]) for row in (newest[-1], newest[0]))
    return first, last + timedelta(milliseconds=1)


def _compact(moment: datetime) -> str:
    moment = moment.astimezone(UTC)
    fraction = f".{moment.microsecond // 1000:03d}" if moment.microsecond else ""
    return f"{moment:%Y%m%dT%H%M%S}{fraction}Z"
