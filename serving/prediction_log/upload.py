"""Uploads closed segments to an fsspec target in the background, and tries again until it succeeds."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from typing import Any, Final

import fsspec

from serving.prediction_log import segments as log_segments
from serving.redaction import without_credentials
from serving.telemetry.metrics import LOG_UPLOADS

logger = logging.getLogger(__name__)

POLL_SECONDS: Final = 0.5
MAX_BACKOFF_SECONDS: Final = 30.0


class Uploader:
    """Uploads each closed segment of a spool once, then removes it; counts failures and tries again without end."""

    def __init__(self, spool: Path, target: str) -> None:
        """`target` is an fsspec URL."""
        self._spool = spool
        self._target = target
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log-upload", daemon=True)

    def start(self) -> None:
        """Adopt what an earlier process left in the spool, and start the thread."""
        self._spool.mkdir(parents=True, exist_ok=True)
        if adopted := log_segments.adopt_leftovers(self._spool):
            logger.info("prediction log: %d segments of an earlier process will be uploaded", adopted)
        self._thread.start()

    def close(self, timeout: float) -> int:
        """Upload what is in the spool for at most `timeout` seconds; return the number of segments that remain."""
        self._closing.set()
        self._thread.join(timeout)
        left = len(log_segments.closed_segments(self._spool))
        if left:
            logger.error("prediction log: %d segments stay in %s until the next start", left, self._spool)
        return left

    def _run(self) -> None:
        backoff = POLL_SECONDS
        while not self._closing.wait(backoff):
            backoff = POLL_SECONDS if self._upload_all() else min(2 * backoff, MAX_BACKOFF_SECONDS)
        self._upload_all()

    def _upload_all(self) -> bool:
        try:
            segments = log_segments.closed_segments(self._spool)
            if segments:
                filesystem, root = fsspec.url_to_fs(self._target)
                for path in segments:
                    self._upload(filesystem, root, path)
        except Exception as error:  # every fsspec backend has its own errors
            LOG_UPLOADS.labels("failed").inc()
            target, reason = without_credentials(self._target), without_credentials(str(error))
            logger.warning(
                "prediction log: the upload to %s failed and is tried again: %s: %s",
                target,
                type(error).__name__,
                reason,
            )
            return False
        return True

    def _upload(self, filesystem: Any, root: str, path: Path) -> None:
        started = time.monotonic()
        folder = f"{root.rstrip('/')}/{path.parent.name}"
        filesystem.makedirs(folder, exist_ok=True)
        filesystem.put_file(str(path), f"{folder}/{path.name}")
        path.unlink(missing_ok=True)
        LOG_UPLOADS.labels("done").inc()
        logger.debug("prediction log: uploaded %s in %.2f s", path.name, time.monotonic() - started)
