"""Keeps the predictor on the version that MODEL_URI means: look up, prepare, swap, remember."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from feature_checks.bundle import BundleError
from serving.errors import ServingError
from serving.loading import Prepared, SelfTestFailed
from serving.metrics import REFUSED_BUNDLES
from serving.predictor import Predictor
from serving.registry import ModelVersion, RegistryError
from serving.settings import Settings
from serving.source import ModelSource

logger = logging.getLogger(__name__)

_FIRST_PAUSE: Final = 0.5
"""Seconds before the second attempt while nothing is served; doubled up to ALIAS_POLL_SECONDS."""


class Follower:
    """Runs on the event loop; looking up and preparing happen in a thread."""

    def __init__(self, settings: Settings, source: ModelSource, predictor: Predictor) -> None:
        """`predictor` gets every model that `source` finds."""
        self._poll_seconds = settings.alias_poll_seconds
        self._source = source
        self._predictor = predictor
        self._served: ModelVersion | None = None
        self._refused: ModelVersion | None = None
        self._complaint = ""

    async def serve(self, version: ModelVersion, prepared: Prepared) -> None:
        """Swap a prepared version in and remember it; a disk that is full or read-only costs the memory alone."""
        await self._predictor.swap(prepared)
        self._served = version
        try:
            await asyncio.to_thread(self._source.mark_served, version)
        except OSError as error:
            logger.warning("version %s is served, but a restart may not find it: %s", version.version, error)

    async def run(self) -> None:
        """Follow for ever; returns once a model is served that cannot change (a pinned version, a folder)."""
        pause = _FIRST_PAUSE
        while not await self._step() or self._source.follows:
            waiting = self._predictor.current is None
            await asyncio.sleep(min(pause, self._poll_seconds) if waiting else self._poll_seconds)
            pause = pause * 2 if waiting else _FIRST_PAUSE

    async def _step(self) -> bool:
        """Look once; tell whether what MODEL_URI means is being served."""
        try:
            version = await asyncio.to_thread(self._source.resolve)
            await self._move_to(version)
        except (RegistryError, BundleError, ServingError, OSError) as error:
            self._complain(str(error))
        except Exception as error:  # whatever it was, the model that is served goes on being served
            logger.exception("following MODEL_URI failed; it is tried again")
            self._predictor.cause = repr(error)
        else:
            self._complaint = ""
            return self._served == version
        return False

    async def _move_to(self, version: ModelVersion) -> None:
        if version == self._served or (version == self._refused and self._served is not None):
            return
        try:
            prepared = await asyncio.to_thread(self._source.prepare, version)
        except BundleError as error:
            reason = "self_test" if isinstance(error, SelfTestFailed) else "invalid"
            REFUSED_BUNDLES.labels(reason).inc()
            self._refused = version
            logger.error("version %s is refused: %s", version.version, error)
            raise
        await self.serve(version, prepared)

    def _complain(self, message: str) -> None:
        """Log a failure once for as long as it stays the same."""
        self._predictor.cause = message
        if message == self._complaint:
            return
        self._complaint = message
        if self._predictor.current is None:
            logger.error("no model is served: %s", message)
        else:
            logger.warning("version %s goes on being served: %s", self._predictor.current.version, message)
