"""Keeps the predictor on the version that MODEL_URI means: looks it up, loads it, swaps it in and remembers it."""

from __future__ import annotations

import asyncio
import logging
import traceback
from typing import Final

from feature_checks.bundle import BundleError
from serving.errors import ServingError
from serving.inference.loading import PreparedModel, SelfTestFailed
from serving.models.registry import ModelVersion, RegistryError
from serving.models.source import ModelSource
from serving.predictor import Predictor
from serving.redaction import without_credentials
from serving.settings import Settings
from serving.telemetry.metrics import REFUSED_BUNDLES, REGISTRY_FAILURES, REGISTRY_UP

logger = logging.getLogger(__name__)

_FIRST_PAUSE: Final = 0.5
"""The seconds before the second attempt while no model is served; doubled with each attempt, up to
ALIAS_POLL_SECONDS."""


class AliasWatcher:
    """Runs on the event loop; look-ups and loading happen in a thread.

    Example: `asyncio.create_task(AliasWatcher(settings, source, predictor).run())`.
    """

    def __init__(self, settings: Settings, source: ModelSource, predictor: Predictor) -> None:
        """`predictor` gets every model that `source` finds."""
        self._poll_seconds = settings.alias_poll_seconds
        self._source = source
        self._predictor = predictor
        self._served: ModelVersion | None = None
        self._refused: ModelVersion | None = None
        self._complaint = ""

    async def serve(self, version: ModelVersion, prepared: PreparedModel) -> None:
        """Swap a loaded version in and record it for the next start.

        If the disk is full or read-only, the version is served all the same, and only the record is missing.
        """
        await self._predictor.swap(prepared)
        self._served = version
        try:
            await asyncio.to_thread(self._source.record_served, version)
        except OSError as error:
            logger.warning("version %s is served, but a restart may not find it: %s", version.version, error)

    async def run(self) -> None:
        """Watch MODEL_URI; return once a model is served that cannot change (a fixed version or a folder)."""
        pause = _FIRST_PAUSE
        while not await self._step() or self._source.follows:
            waiting = self._predictor.current is None
            await asyncio.sleep(min(pause, self._poll_seconds) if waiting else self._poll_seconds)
            pause = pause * 2 if waiting else _FIRST_PAUSE

    async def _step(self) -> bool:
        """Look MODEL_URI up once; return whether the version that it means is served."""
        try:
            version = await asyncio.to_thread(self._source.resolve)
            if self._source.registered:
                REGISTRY_UP.set(1)
            await self._move_to(version)
        except RegistryError as error:
            REGISTRY_UP.set(0)
            REGISTRY_FAILURES.inc()
            self._complain(str(error), error.detail)
        except BundleError as error:
            kind = "fails its self-test" if isinstance(error, SelfTestFailed) else "is not valid"
            self._complain(f"the bundle of the model {kind}", str(error))
        except ServingError as error:
            self._complain(error.public_message, error.logged_message)
        except OSError as error:
            self._complain(f"the model cannot be stored ({error.strerror or type(error).__name__})", str(error))
        except Exception as error:  # whatever it was, the model that is served goes on being served
            self._complain("the model cannot be loaded", "".join(traceback.format_exception(error)))
        else:
            self._complaint = ""
            return self._served == version
        return False

    async def _move_to(self, version: ModelVersion) -> None:
        if version == self._served or (version == self._refused and self._served is not None):
            return
        try:
            prepared = await asyncio.to_thread(self._source.load, version)
        except BundleError as error:
            reason = "self_test" if isinstance(error, SelfTestFailed) else "invalid"
            REFUSED_BUNDLES.labels(reason).inc()
            self._refused = version
            logger.error("version %s is refused: %s", version.version, error)
            raise
        await self.serve(version, prepared)

    def _complain(self, problem: str, detail: str) -> None:
        """Give clients the problem, and log it with its detail once for as long as it stays the same."""
        self._predictor.cause = problem
        complaint = without_credentials(f"{problem}: {detail}" if detail else problem)
        if complaint == self._complaint:
            return
        self._complaint = complaint
        if self._predictor.current is None:
            logger.error("no model is served: %s", complaint)
        else:
            logger.warning("version %s goes on being served: %s", self._predictor.current.version, complaint)
