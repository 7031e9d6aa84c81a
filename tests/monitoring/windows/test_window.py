"""Windows: the same question gives the same rows, and nothing in a log stops the reader."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from feature_checks.bundle import Bundle
from feature_checks.contract import LABELS
from feature_checks.prediction_record import FEEDBACK, HASH_PREFIX
from monitoring.windows.file_reader import from_file
from monitoring.windows.log_window import from_log
from monitoring.windows.reference import write_reference_window
from monitoring.windows.window import WindowError, known_columns

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
Row = Callable[..., dict[str, Any]]
WriteLog = Callable[..., str]


def test_the_last_hours_are_taken_and_no_more(log_row: Row, write_log: WriteLog) -> None:
    write_log([log_row("old", timestamp="2026-11-21T11:59:59.999+00:00", text="old")], date="2026-11-21")
    write_log([log_row("first", timestamp="2026-11-21T12:00:00.000+00:00", text="first")], date="2026-11-21")
    log = write_log(
        [
            log_row("last", timestamp="2026-11-22T11:59:59.999+00:00", text="last"),
            log_row("later", timestamp="2026-11-22T12:00:00.000+00:00", text="later"),
        ]
    )
    window = from_log(log, max_rows=10, end=NOON, hours=24)
    assert window.frame["text"].tolist() == ["first", "last"]
    assert (window.total_rows, window.model_versions, window.name) == (2, ("3",), "20261122T120000Z-24h")


def test_the_last_rows_are_taken_over_days(log_row: Row, write_log: WriteLog) -> None:
    write_log([log_row("a", item, timestamp="2026-11-20T10:00:00.000+00:00") for item in range(5)], date="2026-11-20")
    log = write_log([log_row("b", item) for item in range(3)])
    window = from_log(log, max_rows=10, end=NOON, last_rows=4)
    assert window.total_rows == 4
    assert len(from_log(log, max_rows=2, end=NOON, last_rows=4).frame) == 2


def test_a_sample_depends_on_the_rows_and_not_on_their_order_or_repetition(log_row: Row, write_log: WriteLog) -> None:
    rows = [log_row(f"r{number}", item, text=f"{number} {item}") for number in range(100) for item in range(2)]
    log = write_log(rows)
    first = from_log(log, max_rows=30, end=NOON, hours=24)
    write_log(rows[::-1])
    again = from_log(log, max_rows=30, end=NOON, hours=24)
    assert first.frame.equals(again.frame)
    assert (len(first.frame), first.total_rows) == (30, 200)
    assert first.frame["text"].is_unique


def test_a_window_of_rows_is_named_by_its_newest_row(log_row: Row, write_log: WriteLog) -> None:
    log = write_log([log_row("a", timestamp="2026-11-22T10:00:00.000+00:00"), log_row("b")])
    windows = [from_log(log, max_rows=9, end=NOON + timedelta(minutes=late), last_rows=2) for late in (0, 5)]
    assert windows[0].name == windows[1].name == "20261122T110000.001Z-2rows"
    assert (windows[0].start, windows[0].end) == ("2026-11-22T10:00:00.000+00:00", "2026-11-22T11:00:00.001+00:00")
    write_log([log_row("c", timestamp="2026-11-22T11:30:00.000+00:00")])
    assert from_log(log, max_rows=9, end=NOON, last_rows=2).start == "2026-11-22T11:00:00.000+00:00"


def test_the_random_part_stays_the_same_when_labels_arrive(log_row: Row, write_log: WriteLog) -> None:
    log = write_log([log_row("r", item) for item in range(300)])
    first = from_log(log, max_rows=200, end=NOON, hours=24, random_rows=50).random_part
    assert (len(first), first["row_id"].nunique()) == (50, 50)
    time = "2026-11-22T11:30:00.000+00:00"
    write_log(
        [{"request_id": "r", "item": item, "timestamp": time, "label": "neutral"} for item in range(300)], kind=FEEDBACK
    )
    again = from_log(log, max_rows=200, end=NOON, hours=24, random_rows=50).random_part
    assert again["row_id"].tolist() == first["row_id"].tolist()
    assert again["true_label"].tolist() == ["neutral"] * 50


def test_one_version_can_be_asked_for(log_row: Row, write_log: WriteLog) -> None:
    log = write_log([log_row("a", model_version="1"), log_row("b", model_version="2")])
    window = from_log(log, max_rows=10, end=NOON, hours=24, model_version="2")
    assert (window.total_rows, window.model_versions, window.name) == (1, ("2",), "20261122T120000Z-24h-v2")


def test_feedback_joins_its_prediction_and_the_last_label_wins(log_row: Row, write_log: WriteLog) -> None:
    given = [("neutral", "2026-11-22T11:30:00.000+00:00"), ("negative", "2026-11-22T11:20:00.000+00:00")]
    labels = [{"request_id": "a", "item": 1, "timestamp": time, "label": label} for label, time in given]
    write_log(
        [*labels, {"request_id": "nobody", "item": 0, "timestamp": NOON.isoformat(), "label": "neutral"}], kind=FEEDBACK
    )
    write_log([{"request_id": "a", "item": 0, "timestamp": NOON.isoformat(), "label": "good"}], kind=FEEDBACK)
    log = write_log([log_row("a", 0), log_row("a", 1)])
    window = from_log(log, max_rows=10, end=NOON, hours=24)
    assert window.labelled["true_label"].tolist() == ["neutral"]
    assert window.frame["true_label"].isna().tolist() == [True, False]


def test_damaged_lines_are_counted_and_passed_over(log_row: Row, write_log: WriteLog) -> None:
    log = write_log([log_row("a")], tail='[1]\n{"request_id": 3}\n{"request_id": "torn", "it')
    window = from_log(log, max_rows=10, end=NOON, hours=24)
    assert (window.total_rows, window.damaged_lines) == (1, 3)


def test_an_empty_log_is_an_empty_window(tmp_path: Path) -> None:
    window = from_log(str(tmp_path / "none"), max_rows=10, end=NOON, hours=24)
    assert (len(window.frame), window.total_rows) == (0, 0)


def test_hours_or_rows_but_not_both(tmp_path: Path) -> None:
    with pytest.raises(WindowError, match="exactly one"):
        from_log(str(tmp_path), max_rows=10, end=NOON, hours=1, last_rows=1)
    with pytest.raises(WindowError, match="exactly one"):
        from_log(str(tmp_path), max_rows=10, end=NOON)


@pytest.mark.parametrize("text", [None, HASH_PREFIX + "0123456789abcdef"])
def test_where_no_text_is_kept_there_are_descriptors(log_row: Row, write_log: WriteLog, text: str | None) -> None:
    frame = from_log(write_log([log_row("a", text=text)]), max_rows=10, end=NOON, hours=24).frame
    assert "text" not in frame.columns
    assert frame[["length", "words"]].iloc[0].tolist() == [12, 3]


def test_a_file_is_read_in_both_formats_and_sampled_the_same_way(tmp_path: Path) -> None:
    frame = pd.DataFrame({"text": [f"sentence number {number}" for number in range(50)], "extra": 1})
    frame.to_json(tmp_path / "a.jsonl", orient="records", lines=True)
    frame.to_parquet(tmp_path / "a.parquet")
    windows = [from_file(str(tmp_path / name), 20) for name in ("a.jsonl", "a.parquet", "a.jsonl")]
    assert all(window.frame.equals(windows[0].frame) for window in windows)
    assert list(windows[0].frame.columns) == ["text", "length", "words", "non_letters"]
    assert (len(windows[0].frame), windows[0].total_rows) == (20, 50)
    assert windows[0].name == windows[2].name


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "text\n", "suffix '.csv'; expected one of"),
        ("a.jsonl", "{", "not readable as jsonl"),
        ("a.jsonl", "[1]\n", "expected one JSON object per line"),
        ("a.parquet", "no parquet", "not readable as parquet"),
    ],
)
def test_a_file_of_another_kind_is_refused_with_what_is_right(
    tmp_path: Path, name: str, content: str, message: str
) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(WindowError, match=message):
        from_file(str(tmp_path / name), 10)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(WindowError, match=r"none\.jsonl: not readable"):
        from_file("none.jsonl", 10)


def test_values_are_passed_on_unchanged() -> None:
    frame = known_columns(pd.DataFrame({"text": ["good", None], "confidence": ["high", 2]}))
    assert frame["confidence"].tolist() == ["high", 2]
    assert frame["length"].tolist() == [4, 0]


def test_the_champions_reference_is_its_own_validation_split(
    tiny_bundle: Bundle, reviews: pd.DataFrame, tmp_path: Path
) -> None:
    some = reviews.groupby("split").head(20)
    some.to_parquet(tmp_path / "data.parquet")
    assert write_reference_window(tiny_bundle.folder, tmp_path / "data.parquet", tmp_path / "reference.parquet") == 20
    window = from_file(str(tmp_path / "reference.parquet"), 100)
    assert window.frame["text"].tolist() == some[some["split"] == "validation"]["text"].tolist()
    assert window.frame["label"].isin(LABELS).all()
    assert window.frame["confidence"].between(1 / 3, 1).all()
    assert len(window.labelled) == 20
