"""Segments on disk: one owner each, and what happens to those whose owner is gone."""

from __future__ import annotations

from pathlib import Path

import pytest

from feature_checks.prediction_record import PREDICTIONS
from serving.prediction_log import segments as log_segments
from serving.prediction_log.segments import OPEN_SUFFIX, SegmentWriter, adopt_leftovers, closed_segments

DATE = "2026-11-22"


def segments(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def writer(tmp_path: Path) -> SegmentWriter:
    return SegmentWriter(tmp_path, PREDICTIONS, uploaded=True, max_age=60)


def leftover(folder: Path, content: bytes) -> Path:
    path = folder / f"date={DATE}" / f"predictions-pod-1.jsonl{OPEN_SUFFIX}"
    path.parent.mkdir()
    path.write_bytes(content)
    return path


def test_a_segment_in_use_is_neither_ready_nor_adopted(writer: SegmentWriter, tmp_path: Path) -> None:
    writer.append(DATE, b"{}\n")
    assert closed_segments(tmp_path) == []
    assert adopt_leftovers(tmp_path) == 0
    writer.close()
    (closed,) = closed_segments(tmp_path)
    assert closed.read_bytes() == b"{}\n"
    assert adopt_leftovers(tmp_path) == 0


@pytest.mark.parametrize("content", [b'{"a": 1}\n', b'{"a": 1}\n{"torn'])
def test_a_leftover_is_adopted_without_its_torn_line(tmp_path: Path, content: bytes) -> None:
    leftover(tmp_path, content)
    assert adopt_leftovers(tmp_path) == 1
    (closed,) = closed_segments(tmp_path)
    assert closed.read_bytes() == b'{"a": 1}\n'
    assert segments(tmp_path) == [closed]


def test_a_segment_that_is_only_just_made_is_left_alone(tmp_path: Path) -> None:
    path = leftover(tmp_path, b"")
    assert adopt_leftovers(tmp_path) == 0
    assert segments(tmp_path) == [path]


def test_a_new_day_and_a_full_segment_begin_a_new_one(
    writer: SegmentWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_segments, "MAX_SEGMENT_BYTES", 6)
    for date in (DATE, DATE, DATE, "2026-11-23"):
        writer.append(date, b"{}\n")
    writer.close()
    sizes = sorted((path.parent.name, path.stat().st_size) for path in closed_segments(tmp_path))
    assert sizes == [("date=2026-11-22", 3), ("date=2026-11-22", 6), ("date=2026-11-23", 3)]


def test_an_aged_segment_is_closed_and_a_young_one_is_not(tmp_path: Path) -> None:
    young = SegmentWriter(tmp_path / "young", PREDICTIONS, uploaded=True, max_age=60)
    aged = SegmentWriter(tmp_path / "aged", PREDICTIONS, uploaded=True, max_age=0)
    for writer in (young, aged):
        writer.append(DATE, b"{}\n")
        writer.close_aged()
    assert closed_segments(tmp_path / "young") == []
    assert len(closed_segments(tmp_path / "aged")) == 1
    young.close()


def test_a_folder_that_is_read_directly_never_ages_and_has_no_open_suffix(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path, PREDICTIONS, uploaded=False, max_age=0)
    for _ in range(3):
        writer.append(DATE, b"{}\n")
        writer.close_aged()
    (path,) = segments(tmp_path)
    assert path.suffix == ".jsonl"
    assert path.read_bytes() == b"{}\n" * 3
    writer.close()


def test_a_segment_without_a_line_is_removed(writer: SegmentWriter, tmp_path: Path) -> None:
    writer.append(DATE, b"")
    writer.close()
    assert segments(tmp_path) == []
