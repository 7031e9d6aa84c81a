"""One structured log line for a share of the answered requests."""

from __future__ import annotations

import logging
import time
from typing import Final

import orjson

from serving.protocol.common import Prediction
from serving.telemetry.failure_log import MAX_CLIENT_ID_CHARS, FailureLog
from serving.telemetry.timings import Steps

logger = logging.getLogger(__name__)

LINES_PER_SECOND: Final = 20
"""More lines than this in one second are left out."""


class RequestSample:
    """Writes a JSON line for every n-th answered request. Belongs to the event loop.

    Example: `RequestSample(0.01, failures)` writes one line for a hundred requests.
    """

    def __init__(self, share: float, failures: FailureLog) -> None:
        """`share` of the requests leave a line; users are hashed as in the lines of failed requests."""
        self._every = round(1 / share) if share else 0
        self._left = self._every
        self._failures = failures
        self._second = self._written = 0

    def due(self) -> bool:
        """Count one answered request; return whether it leaves a line."""
        if not self._every:
            return False
        self._left -= 1
        if self._left:
            return False
        self._left = self._every
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._written = second, 0
        self._written += 1
        return self._written <= LINES_PER_SECOND

    def write(
        self, *, request_id: str, client_id: str, protocol: str, user: str, prediction: Prediction, steps: Steps
    ) -> None:
        """Write the line of one request. `client_id` is the X-Request-Id that the client sent, empty without one."""
        line = {
            "request_id": request_id,
            "client_request_id": client_id[:MAX_CLIENT_ID_CHARS],
            "protocol": protocol,
            "model_version": prediction.model_version,
            "texts": len(prediction.labels),
            "cached": sum(prediction.cached),
            "truncated": prediction.truncated,
            "user_hash": self._failures.user_hash(user),
            "ms": {name: round(1000 * seconds, 3) for name, seconds in steps._asdict().items()},
        }
        logger.info("request answered %s", orjson.dumps(line).decode())
