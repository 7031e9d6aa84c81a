"""A window lists the folders and opens the segments that it needs, and no others."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from feature_checks.prediction_record import FEEDBACK, PREDICTIONS, segment_path
from monitoring.prediction_log.lines_engine import LinesEngine
from monitoring.prediction_log.segments import LogSegments
from monitoring.windows.log_window import from_log

DAYS = 20


class Watched(MemoryFileSystem):  # type: ignore[misc]
    """A file system in memory that notes what is listed and opened."""

    protocol = "watched"
    store: dict[str, Any] = {}  # noqa: RUF012
    pseudo_dirs = [""]  # noqa: RUF012
    listed: list[str] = []  # noqa: RUF012
    opened: list[str] = []  # noqa: RUF012

    def ls(self, path: str, detail: bool = True, **options: Any) -> Any:
        self.listed.append(path)
        return super().ls(path, detail, **options)

    def open(self, path: str, *arguments: Any, **options: Any) -> Any:
        self.opened.append(path)
        return super().open(path, *arguments, **options)


@pytest.fixture
def log(log_row: Callable[..., Any]) -> str:
    """A log of twenty days, one segment an hour, with the place of each row in its request id."""
    import json

    fsspec.register_implementation("watched", Watched, clobber=True)
    url = f"watched://{uuid.uuid4().hex}"
    filesystem, root = fsspec.url_to_fs(url)
    for day in range(1, DAYS + 1):
        for hour in range(24):
            time = f"2026-11-{day:02d}T{hour:02d}"
            line = json.dumps(log_row(time, timestamp=f"{time}:30:00.000+00:00")).encode() + b"\n"
            filesystem.pipe(f"{root}/{segment_path(PREDICTIONS, time, 'pod')}", line)
            filesystem.pipe(f"{root}/{segment_path(FEEDBACK, time, 'pod')}", b"")
    Watched.listed.clear()
    Watched.opened.clear()
    return url


def names(paths: list[str]) -> list[str]:
    return sorted({path.split("/", 2)[-1].strip("/") for path in paths})


def test_a_day_lists_its_days_and_opens_its_hours(log: str) -> None:
    end = datetime(2026, 11, DAYS, 18, tzinfo=UTC)
    window = from_log(log, max_rows=50, end=end, hours=24, engine=LinesEngine())
    assert window.total_rows == 24
    predictions = [path for path in Watched.opened if PREDICTIONS in path]
    # The hour that begins at the end of the window could hold a prediction of its very start only by a wrong clock.
    assert len(predictions) == 25
    assert {path.rsplit("date=", 1)[1][:10] for path in Watched.listed if "date=" in path} == {
        "2026-11-19",
        "2026-11-20",
    }


def test_an_hour_opens_two_segments_at_most(log: str) -> None:
    window = from_log(log, max_rows=9, end=datetime(2026, 11, 10, 18, tzinfo=UTC), hours=1, engine=LinesEngine())
    assert window.total_rows == 1
    assert [path.rsplit("/", 1)[1] for path in Watched.opened if PREDICTIONS in path] == [
        "predictions-hour=17-pod.jsonl",
        "predictions-hour=18-pod.jsonl",
    ]


def test_the_newest_rows_are_read_from_the_last_day_back(log: str) -> None:
    window = from_log(log, max_rows=9, end=datetime(2026, 11, DAYS, 6, tzinfo=UTC), last_rows=20, engine=LinesEngine())
    assert (window.total_rows, window.start[:13]) == (20, "2026-11-19T10")
    assert {path.rsplit("date=", 1)[1][:10] for path in Watched.opened if PREDICTIONS in path} == {
        "2026-11-19",
        "2026-11-20",
    }


def test_what_is_no_segment_is_left_alone(tmp_path: Any) -> None:
    wanted = ["predictions-hour=07-pod.jsonl", "predictions-pod.jsonl"]
    others = ["predictions-pod.jsonl.open", "feedback-pod.jsonl", "notes.txt"]
    for name in [*wanted, *others]:
        (tmp_path / "date=2026-11-22").mkdir(exist_ok=True)
        (tmp_path / "date=2026-11-22" / name).touch()
    (tmp_path / "date=soon").mkdir()
    found = LogSegments(str(tmp_path)).between(PREDICTIONS, None, None).paths
    assert [path.rsplit("/", 1)[1] for path in found] == wanted
