"""The prediction log: every answered text as one JSON line, written in the background.

`append` puts lines on a queue. A writer thread appends them to a file ten times a second, so a killed process
loses at most the last tenth of a second; a full queue, disk or spool costs log lines, which are counted, and
never a request. A folder as target is written directly. With an fsspec URL as target, segments are written to
a spool on local disk, closed after LOG_SEGMENT_SECONDS, uploaded and removed; what a dead process left in the
spool is uploaded by the next start. A node that is lost with its disk costs what was not uploaded: the last
LOG_SEGMENT_SECONDS plus the time of an upload.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from feature_checks.prediction_record import FEEDBACK, PREDICTIONS, FeedbackRecord, Kind
from serving.log_lines import AnsweredRequest, LineMaker, Lines
from serving.log_segments import SegmentWriter
from serving.log_upload import Uploader
from serving.metrics import DROPPED_LOG_LINES, LOG_LINES
from serving.settings import Settings

log = logging.getLogger(__name__)

FLUSH_SECONDS: Final = 0.1
WARN_EVERY_SECONDS: Final = 30.0
_AT_ONCE_TEXTS: Final = 32
"""Requests of at most so many texts become lines on the event loop, about 6 us a text: a thread that did it
would stop the loop for longer, five milliseconds at a time, by holding the interpreter lock."""
KEY_FILE: Final = "log_hash_key"


@dataclass(slots=True)
class _Pending:
    """Lines of one segment that wait to be written; one buffer, because thousands of small objects cost more."""

    content: bytearray = field(default_factory=bytearray)
    count: int = 0


class PredictionLog:
    """Writes answered requests and feedback; see the module for what is kept when."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._maker = LineMaker(settings.log_text, hash_key(settings))
        self._large: deque[AnsweredRequest] = deque()
        self._pending: defaultdict[tuple[Kind, str], _Pending] = defaultdict(_Pending)
        self._adding = threading.Lock()
        # Each counter has one writing thread, so their difference needs no lock.
        self._queued, self._taken = 0, 0
        folder = local_folder(settings.prediction_log)
        spool = folder or settings.state_dir / "spool" / "predictions"
        self._uploader = None if folder else Uploader(spool, settings.prediction_log)
        self._writers: dict[Kind, SegmentWriter] = {
            kind: SegmentWriter(spool, kind, uploaded=folder is None, max_age=settings.log_segment_seconds)
            for kind in (PREDICTIONS, FEEDBACK)
        }
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)
        self._warned = float("-inf")

    def start(self) -> None:
        """Start the background threads; raises OSError when the spool cannot be made."""
        if self._uploader:
            self._uploader.start()
        self._thread.start()

    def append(self, answered: AnsweredRequest) -> bool:
        """Queue one answered request; called on the event loop. False: the queue was full."""
        count = len(answered.texts)
        if not self._accepts(count):
            return False
        if count <= _AT_ONCE_TEXTS:
            self._add(self._maker.predictions(answered))
        else:
            self._large.append(answered)
        return True

    def append_feedback(self, record: FeedbackRecord) -> bool:
        """Queue one label; called on the event loop. False: the queue was full."""
        if not self._accepts(1):
            return False
        self._add(self._maker.feedback(record))
        return True

    async def close(self) -> None:
        """Write and upload what is queued, for at most DRAIN_SECONDS."""
        await asyncio.to_thread(self._close, self._settings.drain_seconds)

    def _accepts(self, count: int) -> bool:
        if self._queued - self._taken + count <= self._settings.log_queue_lines:
            self._queued += count
            return True
        DROPPED_LOG_LINES.labels("queue_full").inc(count)
        return False

    def _close(self, timeout: float) -> None:
        started = time.monotonic()
        self._closing.set()
        self._thread.join(timeout)
        if self._thread.is_alive():
            log.error("prediction log: %d lines were not written within %g s", self._queued - self._taken, timeout)
        if self._uploader:
            self._uploader.close(max(0.0, timeout - (time.monotonic() - started)))

    def _run(self) -> None:
        while not self._closing.wait(FLUSH_SECONDS):
            self._flush()
            self._close_segments(SegmentWriter.close_aged)
        self._flush()
        self._close_segments(SegmentWriter.close)

    def _flush(self) -> None:
        # Only what is there now: under load the loop adds as fast as this thread takes.
        for _ in range(len(self._large)):
            self._add(self._maker.predictions(self._large.popleft()))
        with self._adding:
            pending, self._pending = self._pending, defaultdict(_Pending)
        for (kind, date), lines in pending.items():
            self._write(kind, date, bytes(lines.content), lines.count)
            self._taken += lines.count

    def _add(self, lines: Lines) -> None:
        with self._adding:
            pending = self._pending[lines.kind, lines.date]
            pending.content += lines.content
            pending.count += lines.number

    def _write(self, kind: Kind, date: str, content: bytes, count: int) -> None:
        if self._uploader and self._uploader.spool_bytes > self._settings.log_spool_bytes:
            self._drop("spool_full", count, f"the spool holds {self._uploader.spool_bytes} bytes")
            return
        try:
            self._writers[kind].append(date, content)
        except OSError as error:
            self._drop("write_failed", count, str(error))
        else:
            LOG_LINES.labels(kind).inc(count)

    def _drop(self, reason: str, lines: int, why: str) -> None:
        DROPPED_LOG_LINES.labels(reason).inc(lines)
        if time.monotonic() - self._warned >= WARN_EVERY_SECONDS:
            self._warned = time.monotonic()
            log.error("prediction log: lines are dropped (%s): %s", reason, why)

    def _close_segments(self, close: Callable[[SegmentWriter], None]) -> None:
        for writer in self._writers.values():
            try:
                close(writer)
            except OSError as error:
                self._drop("close_failed", 0, str(error))


def local_folder(target: str) -> Path | None:
    """Return the folder that the target names, or None when it is an fsspec URL of another kind."""
    scheme, separator, rest = target.partition("://")
    if not separator:
        return Path(target)
    return Path(rest) if scheme == "file" else None


def hash_key(settings: Settings) -> bytes:
    """Return LOG_HASH_KEY, or the key kept under STATE_DIR: made on first use, its owner's only."""
    if settings.log_hash_key is not None:
        return settings.log_hash_key.get_secret_value().encode()
    path = settings.state_dir / KEY_FILE
    if path.is_file():
        return path.read_text(encoding="ascii").encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    candidate = path.with_name(f"{KEY_FILE}.{secrets.token_hex(4)}")
    candidate.touch(mode=0o600)
    candidate.write_text(secrets.token_hex(32), encoding="ascii")
    with suppress(FileExistsError):  # another process or an earlier start made it: that one counts
        path.hardlink_to(candidate)
    candidate.unlink()
    return path.read_text(encoding="ascii").encode()
