"""Finds the segments of a prediction log that a window needs, and lists no other folder."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import fsspec

from feature_checks.prediction_record import SEGMENT_SUFFIX, Kind

_DATE: Final = re.compile(r"date=(\d{4}-\d\d-\d\d)")
_HOUR: Final = re.compile(r"-hour=(\d\d)-")
_END_OF_TIME: Final = "9999"


@dataclass(frozen=True)
class SegmentFiles:
    """Segments of one kind on one file system."""

    filesystem: Any
    """The fsspec file system."""
    paths: tuple[str, ...]
    """Paths on that file system, in order."""

    def urls(self) -> list[str]:
        """Return the paths with the protocol of the file system, as other engines want them."""
        return [self.filesystem.unstrip_protocol(path) for path in self.paths]


class LogSegments:
    """The segments of one prediction log (folder or fsspec URL).

    Example: `LogSegments("s3://bucket/log").between("predictions", start, end).paths`.
    """

    def __init__(self, target: str) -> None:
        self._filesystem, root = fsspec.url_to_fs(target)
        self._root = root.rstrip("/")
        self._filesystem.invalidate_cache()

    def between(self, kind: Kind, start: datetime | None, end: datetime | None) -> SegmentFiles:
        """Return the segments that can hold records with start <= timestamp < end; None stands for no bound.

        The name of a segment says its hour (see docs/reference/prediction-log.md). A segment of an older release says
        only its day.
        """
        first = _hour(start) if start else ""
        last = _hour(end) if end else _END_OF_TIME
        dates = [date for date in self.dates() if first[:10] <= date <= last[:10]]
        return SegmentFiles(self._filesystem, tuple(self._paths(kind, dates, first, last)))

    def of_day(self, kind: Kind, date: str) -> SegmentFiles:
        """Return the segments of one day, YYYY-MM-DD."""
        return SegmentFiles(self._filesystem, tuple(self._paths(kind, [date], "", _END_OF_TIME)))

    def dates(self) -> list[str]:
        """Return the days (YYYY-MM-DD, UTC) that the log has, the oldest first."""
        matches = (_DATE.fullmatch(path.rsplit("/", 1)[1]) for path in self._list(self._root))
        return sorted(match[1] for match in matches if match)

    def _paths(self, kind: Kind, dates: Sequence[str], first: str, last: str) -> Iterator[str]:
        for date in dates:
            for path in sorted(self._list(f"{self._root}/date={date}")):
                name = path.rsplit("/", 1)[1]
                hour = _HOUR.search(name)
                at = f"{date}T{hour[1]}" if hour else ""
                ours = name.startswith(f"{kind}-") and name.endswith(SEGMENT_SUFFIX)
                if ours and (not at or first <= at <= last):
                    yield path

    def _list(self, folder: str) -> list[str]:
        try:
            return [path.rstrip("/") for path in self._filesystem.ls(folder, detail=False)]
        except FileNotFoundError:
            return []


def _hour(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H")
