"""Append-only segment files on local disk: whole lines or nothing, also when the disk is full."""

from __future__ import annotations

import fcntl
import os
import socket
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Final

from feature_checks.prediction_record import SEGMENT_SUFFIX, Kind, segment_path

OPEN_SUFFIX: Final = ".open"
MAX_SEGMENT_BYTES: Final = 64 * 1024 * 1024


class SegmentWriter:
    """Writes the segments of one kind, one at a time. Not thread-safe: it has one owner.

    If segments are uploaded, an open one has OPEN_SUFFIX and a lock, so that another process on the same folder can
    tell a segment in use from one that a killed process left behind.
    """

    def __init__(self, folder: Path, kind: Kind, *, uploaded: bool, max_age: float) -> None:
        """A segment that is to be uploaded is closed `max_age` seconds after it was opened."""
        self._folder = folder
        self._kind: Kind = kind
        self._suffix = OPEN_SUFFIX if uploaded else ""
        self._max_age = max_age if uploaded else float("inf")
        self._file: int | None = None
        self._path = folder
        self._hour = ""
        self._size = 0
        self._opened = 0.0

    def append(self, hour: str, lines: bytes) -> None:
        """Append whole lines to the segment of `hour` (YYYY-MM-DDTHH).

        Raises OSError if they cannot all be written; then none is.
        """
        if self._file is None or hour != self._hour or self._size >= MAX_SEGMENT_BYTES or self._removed():
            self.close()
            self._open(hour)
        assert self._file is not None  # noqa: S101 - opened above
        try:
            _write_all(self._file, lines)
        except OSError:
            os.ftruncate(self._file, self._size)
            raise
        self._size += len(lines)

    def close_aged(self) -> None:
        """Close the open segment when it is older than `max_age`."""
        if self._file is not None and time.monotonic() - self._opened >= self._max_age:
            self.close()

    def close(self) -> None:
        """Close the open segment if there is one; an empty segment is removed."""
        if self._file is None:
            return
        file, self._file = self._file, None
        if not self._removed_file(file):
            if self._size == 0:
                self._path.unlink()
            elif self._suffix:
                self._path.rename(self._path.with_suffix(""))
        os.close(file)

    def _open(self, hour: str) -> None:
        name = f"{socket.gethostname()}-{uuid.uuid4().hex}"
        path = self._folder / (segment_path(self._kind, hour, name) + self._suffix)
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND, 0o640)
        fcntl.flock(file, fcntl.LOCK_EX)
        self._file, self._path, self._hour = file, path, hour
        self._size, self._opened = 0, time.monotonic()

    def _removed(self) -> bool:
        return self._file is not None and self._removed_file(self._file)

    @staticmethod
    def _removed_file(file: int) -> bool:
        return os.fstat(file).st_nlink == 0


def spool_bytes(folder: Path) -> int:
    """Return the bytes of all segments in a folder, closed or not."""
    total = 0
    for path in folder.glob("date=*/*"):
        with suppress(FileNotFoundError):  # uploaded or renamed in between
            total += path.stat().st_size
    return total


def closed_segments(folder: Path) -> list[Path]:
    """Return the segments that are ready to be uploaded, oldest first."""
    paths = list(folder.glob(f"date=*/*{SEGMENT_SUFFIX}"))
    return sorted(paths, key=lambda path: path.stat().st_mtime)


def adopt_leftovers(folder: Path) -> int:
    """Close the segments that dead processes left open, and cut half-written last lines; return their number."""
    return sum(_adopt(path) for path in folder.glob(f"date=*/*{OPEN_SUFFIX}"))


def _adopt(path: Path) -> bool:
    try:
        file = os.open(path, os.O_RDWR)
    except FileNotFoundError:  # its owner has closed it in between
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        content = path.read_bytes()
        if not content:  # its owner has made it and not locked it yet
            return False
        os.ftruncate(file, content.rfind(b"\n") + 1)
        path.rename(path.with_suffix(""))
    except (BlockingIOError, FileNotFoundError):
        return False
    finally:
        os.close(file)
    return True


def _write_all(file: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(file, rest) :]
