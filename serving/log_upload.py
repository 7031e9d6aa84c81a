"""Closed segments → an fsspec target, in the background, until they are there."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from typing import Any, Final

import fsspec

from serving import log_segments
from serving.metrics import LOG_UPLOADS

log = logging.getLogger(__name__)

POLL_SECONDS: Final = 0.5
MAX_BACKOFF_SECONDS: Final = 30.0


class Uploader:
    """Uploads each closed segment of `spool` once, then removes it; counts failures and retries for ever."""

    def __init__(self, spool: Path, target: str) -> None:
        self._spool = spool
        self._target = target
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log-upload", daemon=True)
        self.spool_bytes = 0
        """Bytes waiting in the spool when last looked at."""

    def start(self) -> None:
        """Take over what an earlier process left in the spool and start uploading."""
        self._spool.mkdir(parents=True, exist_ok=True)
        if adopted := log_segments.adopt_leftovers(self._spool):
            log.info("prediction log: %d segments of an earlier process will be uploaded", adopted)
        self._thread.start()

    def close(self, timeout: float) -> int:
        """Upload what is there, for at most `timeout` seconds; return how many segments stay in the spool."""
        self._closing.set()
        self._thread.join(timeout)
        left = len(log_segments.closed_segments(self._spool))
        if left:
            log.error("prediction log: %d segments stay in %s until the next start", left, self._spool)
        return left

    def _run(self) -> None:
        backoff = POLL_SECONDS
        while not self._closing.wait(backoff):
            backoff = POLL_SECONDS if self._upload_all() else min(2 * backoff, MAX_BACKOFF_SECONDS)
        self._upload_all()

    def _upload_all(self) -> bool:
        try:
            segments = log_segments.closed_segments(self._spool)
            self.spool_bytes = sum(path.stat().st_size for path in self._spool.glob("date=*/*"))
            if segments:
                filesystem, root = fsspec.url_to_fs(self._target)
                for path in segments:
                    self._upload(filesystem, root, path)
        except Exception as error:  # every fsspec backend raises its own
            LOG_UPLOADS.labels("failed").inc()
            log.warning("prediction log: upload to %s failed, will retry: %r", self._target, error)
            return False
        return True

    def _upload(self, filesystem: Any, root: str, path: Path) -> None:
        started = time.monotonic()
        folder = f"{root.rstrip('/')}/{path.parent.name}"
        filesystem.makedirs(folder, exist_ok=True)
        filesystem.put_file(str(path), f"{folder}/{path.name}")
        path.unlink(missing_ok=True)
        LOG_UPLOADS.labels("done").inc()
        log.debug("prediction log: uploaded %s in %.2f s", path.name, time.monotonic() - started)
