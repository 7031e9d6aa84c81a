"""The prediction log: every answered text as one JSON line, written in the background.

`append` puts lines on a queue. A writer thread appends them to a file ten times a second, so a killed process loses
at most the last tenth of a second. A full queue, disk or spool costs log lines, which are counted, and never a
request. If the target is a folder, it is written directly. If it is an fsspec URL, segments are written to a spool on
local disk, closed after LOG_SEGMENT_SECONDS, uploaded and removed; what a dead process left in the spool is uploaded
at the next start. A node that is lost with its disk costs what was not uploaded: the lines of the last
LOG_SEGMENT_SECONDS and of the time that an upload takes.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from feature_checks.prediction_record import FEEDBACK, PREDICTIONS, FeedbackRecord, Kind
from serving.prediction_log.lines import AnsweredRequest, LineMaker
from serving.prediction_log.queue import LineQueue, Pending, size_of
from serving.prediction_log.segments import SegmentWriter, spool_bytes
from serving.prediction_log.upload import Uploader
from serving.settings import Settings
from serving.telemetry.metrics import DROPPED_LOG_LINES, LOG_LINES

logger = logging.getLogger(__name__)

FLUSH_SECONDS: Final = 0.1
WARN_EVERY_SECONDS: Final = 30.0
_AT_ONCE_TEXTS: Final = 32
"""The lines of requests of at most this many texts are made on the event loop, in about 6 us a text. A thread would
stop the loop for longer, for five milliseconds at a time, by holding the interpreter lock."""
_FEEDBACK_BYTES: Final = 500
_MEASURE_SECONDS: Final = 1.0
"""How often the size of the spool is measured; in between, the written bytes are added."""
KEY_FILE: Final = "log_hash_key"


class PredictionLog:
    """Writes answered requests and feedback; the module's description says what is kept when.

    Example: `prediction_log.start()`, then `prediction_log.append(answered)` for each request.
    """

    def __init__(self, settings: Settings) -> None:
        """Nothing is written before `start`."""
        self._settings = settings
        self._maker = LineMaker(settings.log_text, hash_key(settings))
        self._queue = LineQueue(settings.log_queue_lines, settings.log_queue_bytes)
        folder = local_folder(settings.prediction_log)
        self._spool = folder or settings.state_dir / "spool" / "predictions"
        self._uploader = None if folder else Uploader(self._spool, settings.prediction_log)
        self._writers: dict[Kind, SegmentWriter] = {
            kind: SegmentWriter(self._spool, kind, uploaded=folder is None, max_age=settings.log_segment_seconds)
            for kind in (PREDICTIONS, FEEDBACK)
        }
        self._spool_bytes = 0
        self._measured_at = float("-inf")
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)
        self._warned = float("-inf")

    def start(self) -> None:
        """Start the background threads; raises OSError when the spool cannot be made."""
        if self._uploader:
            self._uploader.start()
        self._thread.start()

    def append(self, answered: AnsweredRequest) -> bool:
        """Queue one answered request; called on the event loop. False: its lines were dropped and counted."""
        number, size = len(answered.texts), size_of(answered)
        if not self._queue.reserve(number, size):
            DROPPED_LOG_LINES.labels("queue_full").inc(number)
            return False
        if number > _AT_ONCE_TEXTS:
            self._queue.put_request(answered, size)
            return True
        try:
            self._queue.put(self._maker.predictions(answered), size)
        except Exception as error:  # a line that cannot be made must not fail its request
            self._queue.cancel(number, size)
            self._drop("unexpected_error", number, error)
            return False
        return True

    def append_feedback(self, record: FeedbackRecord, user: str = "") -> bool:
        """Queue one label that `user` gave; called on the event loop. False: the queue was full."""
        if not self._queue.reserve(1, _FEEDBACK_BYTES):
            DROPPED_LOG_LINES.labels("queue_full").inc()
            return False
        self._queue.put(self._maker.feedback(record, user), _FEEDBACK_BYTES)
        return True

    async def close(self) -> None:
        """Write and upload what is queued, for at most DRAIN_SECONDS."""
        await asyncio.to_thread(self._close, self._settings.drain_seconds)

    def _close(self, timeout: float) -> None:
        started = time.monotonic()
        self._closing.set()
        self._thread.join(timeout)
        if self._thread.is_alive():
            logger.error("prediction log: %d lines were not written within %g s", self._queue.lines, timeout)
        if self._uploader:
            self._uploader.close(max(0.0, timeout - (time.monotonic() - started)))

    def _run(self) -> None:
        while not self._closing.wait(FLUSH_SECONDS):
            self._flush()
            self._close_segments(SegmentWriter.close_aged)
        self._flush()
        self._close_segments(SegmentWriter.close)

    def _flush(self) -> None:
        for answered, size in self._queue.take_requests():
            self._make_lines(answered, size)
        for (kind, hour), pending in self._queue.take().items():
            self._write(kind, hour, pending)
            self._queue.release(pending.number, pending.size)

    def _make_lines(self, answered: AnsweredRequest, size: int) -> None:
        try:
            self._queue.put(self._maker.predictions(answered), size)
        except Exception as error:  # one request must not end the writer
            self._queue.release(len(answered.texts), size)
            self._drop("unexpected_error", len(answered.texts), error)

    def _write(self, kind: Kind, hour: str, pending: Pending) -> None:
        try:
            if self._uploader and self._spool_size() > self._settings.log_spool_bytes:
                self._drop("spool_full", pending.number, f"the spool holds {self._spool_bytes} bytes")
                return
            self._writers[kind].append(hour, bytes(pending.content))
        except OSError as error:
            self._drop("write_failed", pending.number, error.strerror or type(error).__name__)
        except Exception as error:  # whatever it is, the next lines are written
            self._drop("unexpected_error", pending.number, error)
        else:
            self._spool_bytes += len(pending.content)
            LOG_LINES.labels(kind).inc(pending.number)

    def _spool_size(self) -> int:
        """Return the bytes in the spool. The writer measures them: the uploader may hang."""
        now = time.monotonic()
        if now - self._measured_at >= _MEASURE_SECONDS:
            self._spool_bytes, self._measured_at = spool_bytes(self._spool), now
        return self._spool_bytes

    def _drop(self, reason: str, lines: int, cause: str | Exception) -> None:
        DROPPED_LOG_LINES.labels(reason).inc(lines)
        if time.monotonic() - self._warned >= WARN_EVERY_SECONDS:
            self._warned = time.monotonic()
            error = cause if isinstance(cause, Exception) else None
            logger.error(
                "prediction log: lines are dropped (%s): %s", reason, type(cause).__name__ if error else cause,
                exc_info=error,
            )  # fmt: skip

    def _close_segments(self, close: Callable[[SegmentWriter], None]) -> None:
        for writer in self._writers.values():
            try:
                close(writer)
            except OSError as error:
                self._drop("close_failed", 0, error.strerror or type(error).__name__)
            except Exception as error:  # whatever it is, the writer goes on
                self._drop("unexpected_error", 0, error)


def local_folder(target: str) -> Path | None:
    """Return the folder that the target names, or None if it is an fsspec URL of another kind."""
    scheme, separator, rest = target.partition("://")
    if not separator:
        return Path(target)
    return Path(rest) if scheme == "file" else None


def hash_key(settings: Settings) -> bytes:
    """Return LOG_HASH_KEY, or the key that is kept under STATE_DIR: made at first use, readable by its owner only."""
    if settings.log_hash_key is not None:
        return settings.log_hash_key.get_secret_value().encode()
    path = settings.state_dir / KEY_FILE
    if path.is_file():
        return path.read_text(encoding="ascii").encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    candidate = path.with_name(f"{KEY_FILE}.{secrets.token_hex(4)}")
    candidate.touch(mode=0o600)
    candidate.write_text(secrets.token_hex(32), encoding="ascii")
    with suppress(FileExistsError):  # another process has made it: that key counts
        path.hardlink_to(candidate)
    candidate.unlink()
    return path.read_text(encoding="ascii").encode()
