"""Every engine gives the same window of the same log, whatever the log holds and wherever it lies."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import fsspec
import pandas as pd
import pytest

from monitoring.prediction_log.duckdb_engine import DuckDbEngine
from monitoring.prediction_log.engine import LogEngine, Selection
from monitoring.prediction_log.lines_engine import LinesEngine, lines
from monitoring.prediction_log.sample import Sample
from monitoring.prediction_log.segments import LogSegments
from monitoring.windows.log_window import from_log, late_labels
from monitoring.windows.window import Window
from tests.support import odd_log

HOURS = (odd_log.END - odd_log.START) / timedelta(hours=1)
WINDOWS: list[dict[str, Any]] = [
    {"hours": HOURS, "max_rows": 20},
    {"hours": HOURS, "max_rows": 20, "random_rows": 5, "model_version": "1"},
    {"hours": HOURS, "max_rows": 1},
    {"hours": HOURS, "max_rows": 10_000},
    {"hours": 1.5, "max_rows": 20},
    {"last_rows": 30, "max_rows": 10},
    {"last_rows": 30, "max_rows": 100, "model_version": "2"},
    {"last_rows": 10_000, "max_rows": 100},
]


@pytest.fixture
def log(tmp_path: Path) -> str:
    folder = tmp_path / "log [1]* of a? host"
    for path, content in odd_log.files().items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return str(folder)


@pytest.fixture
def remote_log() -> str:
    url = f"memory://log-{uuid.uuid4().hex}"
    filesystem, root = fsspec.url_to_fs(url)
    for path, content in odd_log.files().items():
        filesystem.pipe(f"{root}/{path}", content)
    return url


def content(window: Window) -> dict[str, Any]:
    frames = {name: getattr(window, name).to_json(orient="table") for name in ("frame", "labelled", "random_part")}
    names = ("name", "total_rows", "model_versions", "start", "end", "damaged_lines")
    return frames | {name: getattr(window, name) for name in names}


@pytest.mark.parametrize("question", WINDOWS, ids=str)
@pytest.mark.parametrize("engine", [DuckDbEngine(), DuckDbEngine(threads=1)], ids=["duckdb", "one-thread"])
def test_the_engines_give_the_same_windows(log: str, engine: LogEngine, question: dict[str, Any]) -> None:
    expected = from_log(log, end=odd_log.END, engine=LinesEngine(), **question)
    found = from_log(log, end=odd_log.END, engine=engine, **question)
    assert content(found) == content(expected)
    assert expected.total_rows > 0
    assert len(expected.frame) == min(question["max_rows"], expected.frame["row_id"].nunique())


def test_the_damage_of_the_log_is_counted(log: str) -> None:
    for engine in (LinesEngine(), DuckDbEngine()):
        window = from_log(log, end=odd_log.END, hours=HOURS, max_rows=9, engine=engine)
        assert window.damaged_lines == len(odd_log.DAMAGED) + 1  # and one of the feedback


def test_a_text_that_is_there_twice_is_sampled_once_as_its_newest_line_says(log: str) -> None:
    frame = from_log(log, end=odd_log.END, hours=HOURS, max_rows=10_000).frame
    assert frame["row_id"].is_unique
    row = frame[frame["row_id"] == "feedback:request-14:0"].iloc[0]
    assert row["text"] == "later 14"


@pytest.mark.parametrize("engine", [LinesEngine(), DuckDbEngine()], ids=["lines", "duckdb"])
def test_a_log_behind_a_url_gives_the_same_window(log: str, remote_log: str, engine: LogEngine) -> None:
    windows = [from_log(where, end=odd_log.END, hours=HOURS, max_rows=20, engine=engine) for where in (log, remote_log)]
    assert content(windows[0]) == content(windows[1])


def test_labels_that_arrive_late_are_found_by_every_engine(log: str) -> None:
    before = odd_log.END.isoformat(timespec="milliseconds")
    frames = [
        late_labels(log, since=odd_log.START, before=before, known=(), engine=engine)
        for engine in (LinesEngine(), DuckDbEngine())
    ]
    pd.testing.assert_frame_equal(frames[0], frames[1])
    assert len(frames[0]) == 10
    assert set(frames[0]["true_label"]) <= {"negative", "neutral", "positive"}


def test_many_repeated_lines_do_not_push_other_texts_out_of_the_sample(
    log_row: Callable[..., Any], write_log: Callable[..., str]
) -> None:
    rows = [log_row(f"r{number}") for number in range(40)]
    log = write_log([*rows, *rows[:20] * 30])
    windows = [
        from_log(log, end=odd_log.END + timedelta(days=1), hours=24, max_rows=30, engine=engine)
        for engine in (LinesEngine(), DuckDbEngine())
    ]
    assert content(windows[0]) == content(windows[1])
    assert (len(windows[0].frame), windows[0].total_rows) == (30, 640)


def test_samples_of_parts_are_merged_into_the_sample_of_the_whole(log: str) -> None:
    files = LogSegments(log).between("predictions", odd_log.START, odd_log.END)
    selection = Selection.between(odd_log.START, odd_log.END, size=20)
    labels = {("request-4", 0): [{"label": "neutral", "timestamp": "2026-11-22T00:00:00.000+00:00"}]}
    found = list(lines(files))
    whole, merged = Sample(selection, labels), Sample(selection, labels)
    whole.add_lines(found)
    for part in (found[1::2], found[::2]):
        sample = Sample(selection, labels)
        sample.add_lines(part)
        merged.merge(sample)
    assert merged.rows() == whole.rows()
