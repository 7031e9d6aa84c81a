"""A sample of logged predictions that does not depend on their order, in memory that does not grow with them."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable

from feature_checks.prediction_record import TRUE_LABEL
from monitoring.prediction_log.engine import Labels, Selection, WindowRows
from monitoring.prediction_log.records import (
    FIELDS,
    LABELLED_AT,
    LABELLED_BY,
    Key,
    Row,
    by_time,
    key_of,
    parse,
    sample_order,
    user_of,
)


class Sample:
    """Collects the rows of one window. Samples of parts of a log can be merged into the sample of the whole."""

    def __init__(self, selection: Selection, labels: Labels) -> None:
        self._selection = selection
        self._labels = labels
        self._chosen: dict[Key, Row] = {}
        self._order: list[tuple[int, Key]] = []
        self._labelled: dict[Key, Row] = {}
        self._versions: set[str] = set()
        self._total = 0
        self._damaged_lines = 0

    def add_lines(self, lines: Iterable[bytes]) -> None:
        """Consider the lines of a segment; lines outside the window only count if they are damaged."""
        for line in lines:
            row = parse(line)
            if row is not None:
                if self._selection.holds(row):
                    self.add(row)
            elif line.strip():
                self._damaged_lines += 1

    def add(self, row: Row) -> None:
        """Consider one prediction of the window."""
        self.count(1, (row.get("model_version"),))
        self.choose(row)
        self.label(row)

    def count(self, total: int, versions: Iterable[object], damaged_lines: int = 0) -> None:
        """Count lines that were read elsewhere, and their model versions."""
        self._total += total
        self._versions.update(map(str, versions))
        self._damaged_lines += damaged_lines

    def choose(self, row: Row) -> None:
        """Take a row into the sample if it belongs there."""
        key = key_of(row)
        if key in self._chosen:
            self._chosen[key] = _newer(self._chosen[key], _known(row))
            return
        entry = (-int(sample_order(key), 16), key)
        if self._is_full() and (not self._order or entry < self._order[0]):
            return
        self._chosen[key] = _known(row)
        heapq.heappush(self._order, entry)
        if len(self._order) > self._selection.size:
            del self._chosen[heapq.heappop(self._order)[1]]

    def label(self, row: Row) -> None:
        """Take a row into the labelled rows if it has a label."""
        key = key_of(row)
        if key in self._labels:
            known = _known(row)
            self._labelled[key] = _newer(self._labelled[key], known) if key in self._labelled else known

    def merge(self, other: Sample) -> None:
        """Add the sample of another part of the log, made with the same selection and labels."""
        self.count(other._total, other._versions, other._damaged_lines)
        for row in other._chosen.values():
            self.choose(row)
        for row in other._labelled.values():
            self.label(row)

    def rows(self) -> WindowRows:
        """Return what has been collected."""
        sample = sorted(self._chosen.values(), key=lambda row: sample_order(key_of(row)))
        labels = [self._with_labels(row) for row in sorted(self._labelled.values(), key=by_time)]
        return WindowRows(
            sample=[(self._with_labels(row) or [row])[-1] for row in sample],
            labelled=[rows[-1] for rows in labels],
            labels=[row for rows in labels for row in rows],
            total=self._total,
            versions=tuple(sorted(self._versions)),
            damaged_lines=self._damaged_lines,
        )

    def _is_full(self) -> bool:
        return len(self._order) >= self._selection.size

    def _with_labels(self, row: Row) -> list[Row]:
        """Return the row once for each user who gave a label, the last label last."""
        return [
            row | {TRUE_LABEL: label["label"], LABELLED_AT: label["timestamp"], LABELLED_BY: user_of(label)}
            for label in self._labels.get(key_of(row), ())
        ]


def _known(row: Row) -> Row:
    return {name: row.get(name) for name in FIELDS}


def _newer(one: Row, other: Row) -> Row:
    """Return the newer of two lines for one text. Of two with one time the greater in text counts, in any order."""
    if one["timestamp"] != other["timestamp"]:
        return max(one, other, key=lambda row: row["timestamp"])
    return max(one, other, key=lambda row: json.dumps(row, sort_keys=True))
