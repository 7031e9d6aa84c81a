"""What an engine does that reads windows of a prediction log.

Every engine returns the same rows for the same log, whatever order it reads the lines in:

- A line that `records.parse` refuses is damaged; an empty line is neither a record nor damaged.
- The sample has the rows with the smallest `records.sample_order`. A text that the log holds twice is taken once: the
  newest line counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from monitoring.prediction_log.records import Key, Row
from monitoring.prediction_log.segments import SegmentFiles

Labels = Mapping[Key, Sequence[Row]]
"""The feedback records of each text, one for each user, the oldest first."""


@dataclass(frozen=True)
class Selection:
    """Which predictions a window holds, and how many of them are sampled."""

    first: str
    """The earliest timestamp, as the log writes it."""
    before: str
    """The first timestamp after the window."""
    model_version: str | None = None
    """The only model version; None for all."""
    size: int = 0
    """The rows of the sample."""

    @classmethod
    def between(
        cls, start: datetime | None, end: datetime, model_version: str | None = None, size: int = 0
    ) -> Selection:
        """Return the predictions with start <= timestamp < end; without a start, all before `end`."""
        return cls(_timestamp(start) if start else "", _timestamp(end), model_version, size)

    def holds(self, row: Row) -> bool:
        """Return whether a row belongs to the window."""
        # All timestamps of the log are UTC in one format, so they can be compared as text.
        return self.first <= row["timestamp"] < self.before and self.model_version in (None, row.get("model_version"))


@dataclass(frozen=True)
class WindowRows:
    """The rows that an engine has chosen, and what it counted."""

    sample: list[Row]
    """At most `Selection.size` rows, in the order of `records.sample_order`."""
    labelled: list[Row]
    """Every row that has a true label, with its last one, in the order of time."""
    labels: list[Row]
    """The labelled rows again, once for each user who gave a label."""
    total: int
    """Lines of the window, repeated ones included."""
    versions: tuple[str, ...]
    """The model versions of the window, sorted."""
    damaged_lines: int
    """Lines of the segments that are not valid records."""


class LogEngine(Protocol):
    """Reads segments.

    Example: `DuckDbEngine().window(files, Selection.between(start, end, size=500), labels).sample`.
    """

    def window(self, files: SegmentFiles, selection: Selection, labels: Labels) -> WindowRows:
        """Return the sample and the labelled rows of a window."""

    def newest(self, files: SegmentFiles, selection: Selection, count: int) -> tuple[list[Row], int]:
        """Return the newest `count` rows of a selection, the newest first, and the number of damaged lines."""


def _timestamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")
