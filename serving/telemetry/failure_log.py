"""One structured log line for each failed request, at a bounded rate, and log lines without credentials."""

from __future__ import annotations

import logging
import os
import time
from typing import Final

import orjson

from feature_checks.prediction_record import keyed_hash
from serving.redaction import without_credentials
from serving.settings import Settings

logger = logging.getLogger(__name__)

LINES_PER_SECOND: Final = 20
"""More failures than this in one second are counted in the next line instead of being written."""
MAX_CLIENT_ID_CHARS: Final = 200
"""Log lines repeat at most this much of a client's own request id."""


class RedactingFormatter(logging.Formatter):
    """Formats log records, tracebacks included, without the credentials of URLs."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the formatted record."""
        return without_credentials(super().format(record))


class FailureLog:
    """Writes a JSON line for each request that failed. Belongs to the event loop."""

    def __init__(self, settings: Settings) -> None:
        """Hash users with LOG_HASH_KEY if it is set, otherwise with a key that lasts as long as the process."""
        key = settings.log_hash_key
        self._key = os.urandom(32) if key is None else key.get_secret_value().encode()
        self._second = 0
        self._written = 0
        self._suppressed = 0

    def user_hash(self, user: str) -> str:
        """Return the keyed hash of a user, empty for no user."""
        return keyed_hash(user, self._key) if user else ""

    def record(
        self, *, request_id: str, client_id: str, route: str, status: str, error: str, user: str, seconds: float
    ) -> None:
        """Write one line, unless this second has had LINES_PER_SECOND of them.

        `client_id` is the X-Request-Id that the client sent, empty if it sent none. `error` may hold details that the
        client does not see.
        """
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._written = second, 0
        if self._written >= LINES_PER_SECOND:
            self._suppressed += 1
            return
        self._written += 1
        line = {
            "request_id": request_id,
            "client_request_id": client_id[:MAX_CLIENT_ID_CHARS],
            "route": route,
            "status": status,
            "error": error,
            "user_hash": self.user_hash(user),
            "ms": round(1000 * seconds, 3),
            "suppressed": self._suppressed,
        }
        self._suppressed = 0
        logger.warning("request failed %s", orjson.dumps(line).decode())
