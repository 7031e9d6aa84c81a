"""The prediction log, streamed: only a bounded sample and the labelled rows are ever held."""

from __future__ import annotations

import hashlib
import heapq
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import fsspec

from feature_checks.contract import LABELS
from feature_checks.prediction_record import FEEDBACK, PREDICTIONS, Kind
from monitoring.detectors import TRUE_LABEL

log = logging.getLogger(__name__)

Row = dict[str, Any]
Key = tuple[str, int]
"""Request id and index of the text in the request."""


class LogReader:
    """Streams the lines of a prediction log, day by day."""

    def __init__(self, target: str) -> None:
        self._filesystem, root = fsspec.url_to_fs(target)
        self._root = root.rstrip("/")
        self._filesystem.invalidate_cache()
        self.damaged_lines = 0

    def labels(self, start: datetime) -> dict[Key, str]:
        """Return the feedback from `start` on: the last label given for each request and item."""
        records = sorted(self._rows(FEEDBACK, start, None), key=lambda row: str(row["timestamp"]))
        return {(row["request_id"], row["item"]): row["label"] for row in records if row.get("label") in LABELS}

    def predictions(self, start: datetime, end: datetime, model_version: str | None) -> Iterator[Row]:
        """Yield the predictions with start <= timestamp < end."""
        # The log writes UTC times of one format, so they compare as text.
        first, last = (moment.astimezone(UTC).isoformat(timespec="milliseconds") for moment in (start, end))
        for row in self._rows(PREDICTIONS, start, end):
            if first <= row["timestamp"] < last and model_version in (None, row.get("model_version")):
                yield row

    @staticmethod
    def newest(rows: Iterator[Row], count: int) -> list[Row]:
        """Return the `count` newest rows."""
        return heapq.nlargest(count, rows, key=_by_time)

    def _rows(self, kind: Kind, start: datetime, end: datetime | None) -> Iterator[Row]:
        first = start.astimezone(UTC).strftime("date=%Y-%m-%d")
        last = end.astimezone(UTC).strftime("date=%Y-%m-%d") if end else "date=9999"
        for path in sorted(self._filesystem.glob(f"{self._root}/date=*/{kind}-*.jsonl")):
            if first <= path.rsplit("/", 2)[1] <= last:
                yield from self._lines(path)

    def _lines(self, path: str) -> Iterator[Row]:
        with self._filesystem.open(path, "rb") as lines:
            for line in lines:
                row = _parse(line)
                if row is None:
                    self.damaged_lines += 1
                    log.warning("%s: a line is no record of the log and was passed over", path)
                else:
                    yield row


def _parse(line: bytes) -> Row | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    identity = (row.get(name) for name in ("request_id", "item", "timestamp")) if isinstance(row, dict) else ()
    return row if [type(value) for value in identity] == [str, int, str] else None


class Sample:
    """The rows whose hash is smallest: a sample that depends on the rows and not on their order."""

    def __init__(self, size: int, labels: dict[Key, str]) -> None:
        self._size = size
        self._labels = labels
        self._heap: list[tuple[int, Key, Row]] = []
        self._kept: set[Key] = set()
        self.labelled: dict[Key, Row] = {}
        self.versions: set[str] = set()
        self.total = 0

    def add(self, row: Row) -> None:
        """Consider one prediction; one that is in the log twice is sampled once."""
        key = (row["request_id"], row["item"])
        self.total += 1
        self.versions.add(str(row.get("model_version")))
        if (label := self._labels.get(key)) is not None:
            row = row | {TRUE_LABEL: label}
            self.labelled[key] = row
        digest = hashlib.blake2b(f"{key[0]}:{key[1]}".encode(), digest_size=8).digest()
        entry = (-int.from_bytes(digest), key, row)
        if key in self._kept or (len(self._heap) == self._size and entry[0] < self._heap[0][0]):
            return
        self._kept.add(key)
        heapq.heappush(self._heap, entry)
        if len(self._heap) > self._size:
            self._kept.discard(heapq.heappop(self._heap)[1])

    def rows(self) -> list[Row]:
        """Return the sample in order of time."""
        return sorted((row for *_, row in self._heap), key=_by_time)


def _by_time(row: Row) -> tuple[str, str, int]:
    return row["timestamp"], row["request_id"], row["item"]
