"""Reads the log line by line in Python: the engine that the others are compared with, and one that needs no library."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator

from monitoring.prediction_log.engine import Labels, Selection, WindowRows
from monitoring.prediction_log.records import FIELDS, Row, by_time, parse
from monitoring.prediction_log.sample import Sample
from monitoring.prediction_log.segments import SegmentFiles


class LinesEngine:
    """An engine for small logs: about 150,000 lines a second."""

    def window(self, files: SegmentFiles, selection: Selection, labels: Labels) -> WindowRows:
        """Return the sample and the labelled rows of a window."""
        sample = Sample(selection, labels)
        sample.add_lines(lines(files))
        return sample.rows()

    def newest(self, files: SegmentFiles, selection: Selection, count: int) -> tuple[list[Row], int]:
        """Return the newest `count` rows of a selection, the newest first, and the number of damaged lines."""
        return newest_rows(lines(files), selection, count)


def newest_rows(found: Iterable[bytes], selection: Selection, count: int) -> tuple[list[Row], int]:
    """Return the newest `count` rows of a selection, the newest first, and the number of damaged lines."""
    damaged = 0

    def chosen() -> Iterator[Row]:
        nonlocal damaged
        for row in records(found):
            if row is None:
                damaged += 1
            elif selection.holds(row):
                yield {name: row.get(name) for name in FIELDS}

    newest = heapq.nlargest(count, chosen(), key=by_time)
    return newest, damaged


def lines(files: SegmentFiles) -> Iterator[bytes]:
    """Yield every line of the segments."""
    for path in files.paths:
        with files.filesystem.open(path, "rb") as content:
            yield from content


def records(found: Iterable[bytes]) -> Iterator[Row | None]:
    """Yield the record of every line that is not empty; None for a damaged one."""
    return (parse(line) for line in found if line.strip())
