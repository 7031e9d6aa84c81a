"""Reads windows of a prediction log with an engine, and only the segments that each needs."""

from __future__ import annotations

import logging
from datetime import datetime

from feature_checks.contract import LABELS
from feature_checks.prediction_record import FEEDBACK, PREDICTIONS
from monitoring.prediction_log.duckdb_engine import DuckDbEngine
from monitoring.prediction_log.engine import Labels, LogEngine, Selection, WindowRows
from monitoring.prediction_log.lines_engine import lines, records
from monitoring.prediction_log.records import LABELLED_AT as LABELLED_AT
from monitoring.prediction_log.records import LABELLED_BY as LABELLED_BY
from monitoring.prediction_log.records import Key, Row, key_of, user_of
from monitoring.prediction_log.segments import LogSegments

logger = logging.getLogger(__name__)


class LogReader:
    """Reads the records of a prediction log (folder or fsspec URL)."""

    def __init__(self, target: str, engine: LogEngine | None = None) -> None:
        """`engine` reads the predictions: by default DuckDB. Feedback is a small part of a log and read in Python."""
        self._segments = LogSegments(target)
        self._engine = engine or DuckDbEngine()
        self.damaged_lines = 0
        """Lines that were skipped so far because they are not valid records."""

    def feedback(self, start: datetime) -> dict[Key, list[Row]]:
        """Return the feedback given from `start` on, oldest first: the last valid record of each user for each text."""
        found = []
        for row in records(lines(self._segments.between(FEEDBACK, start, None))):
            if row is None:
                self._count_damaged(1)
            elif row.get("label") in LABELS:
                found.append(row)
        by_user: dict[Key, dict[str, Row]] = {}
        for row in sorted(found, key=lambda row: (row["timestamp"], row["label"])):
            users = by_user.setdefault(key_of(row), {})
            users.pop(user_of(row), None)  # So that the newest label comes last.
            users[user_of(row)] = row
        return {key: list(users.values()) for key, users in by_user.items()}

    def window(
        self,
        start: datetime,
        end: datetime,
        *,
        model_version: str | None,
        size: int,
        labels: Labels,
    ) -> WindowRows:
        """Return a sample of `size` of the predictions with start <= timestamp < end, and those in `labels`."""
        files = self._segments.between(PREDICTIONS, start, end)
        found = self._engine.window(files, Selection.between(start, end, model_version, size), labels)
        self._count_damaged(found.damaged_lines)
        return found

    def newest(self, end: datetime, count: int, model_version: str | None) -> list[Row]:
        """Return the newest `count` predictions before `end`, the newest first.

        The days are read from the last one back, until there are enough rows.
        """
        selection = Selection.between(None, end, model_version)
        rows: list[Row] = []
        for date in reversed(self._segments.dates()):
            if date <= selection.before[:10] and len(rows) < count:
                files = self._segments.of_day(PREDICTIONS, date)
                found, damaged = self._engine.newest(files, selection, count - len(rows))
                rows += found
                self._count_damaged(damaged)
        return rows

    def _count_damaged(self, lines: int) -> None:
        if lines:
            self.damaged_lines += lines
            logger.warning("the prediction log: skipped %d lines that are not valid records", lines)
