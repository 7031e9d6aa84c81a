"""Reads the log with Spark: each task makes the sample of its part of the lines, and the samples are merged."""

from __future__ import annotations

import heapq
import pickle
import re
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from feature_checks.spark_session import spark_session
from monitoring.prediction_log.engine import Labels, Selection, WindowRows
from monitoring.prediction_log.lines_engine import newest_rows
from monitoring.prediction_log.records import Row, by_time
from monitoring.prediction_log.sample import Sample
from monitoring.prediction_log.segments import SegmentFiles

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import SparkSession


class SparkEngine:
    """The engine for windows that one machine cannot read in time. The workers need this package and its own packages.

    Example: `from_log(log, max_rows=500, end=end, hours=24, engine=SparkEngine())`.
    """

    def __init__(self, session: SparkSession | None = None) -> None:
        """`session`: by default the running session, or a new one that the environment configures."""
        self._session = session or spark_session("review-sentiment log")

    def window(self, files: SegmentFiles, selection: Selection, labels: Labels) -> WindowRows:
        """Return the sample and the labelled rows of a window."""

        def sample_of(lines: Iterable[bytes]) -> Sample:
            part = Sample(selection, labels)
            part.add_lines(lines)
            return part

        sample = Sample(selection, labels)
        for part in self._map(files, sample_of):
            sample.merge(part)
        return sample.rows()

    def newest(self, files: SegmentFiles, selection: Selection, count: int) -> tuple[list[Row], int]:
        """Return the newest `count` rows of a selection, the newest first, and the number of damaged lines."""
        parts = self._map(files, lambda lines: newest_rows(lines, selection, count))
        rows = heapq.nlargest(count, (row for found, _ in parts for row in found), key=by_time)
        return rows, sum(damaged for _, damaged in parts)

    def _map(self, files: SegmentFiles, function: Callable[[Iterable[bytes]], Any]) -> list[Any]:
        """Return the results of a function of lines for each part of the segments."""
        if not files.paths:
            return []

        def task(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            import pyarrow as pa

            lines = (line for batch in batches for line in batch.column(0).to_pylist())
            yield pa.record_batch([pa.array([pickle.dumps(function(lines))], pa.binary())], ["part"])

        paths = [re.sub(r"[\[\]{}*?\\]", r"\\\g<0>", url) for url in files.urls()]
        # Bytes, because Spark would replace what is not UTF-8 and so mend a damaged line.
        lines = self._session.read.text(paths, lineSep="\n").selectExpr("CAST(value AS BINARY) AS line")
        # The parts come from our own function in our own session.
        return [pickle.loads(row.part) for row in lines.mapInArrow(task, "part binary").collect()]  # noqa: S301
