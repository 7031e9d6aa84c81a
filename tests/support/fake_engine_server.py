"""The real server as a process of its own, on the engine without weights.

python -m tests.support.fake_engine_server          settings as for `python -m serving`

The engine does what the file STATE_DIR/engine says, at every batch: `raise`, `hang` or `nan`; without the file it
works. Each `SECONDS_PER_TOKEN` of a batch is slept. Turns of the event loop that took long are written to
STATE_DIR/stalls.json when the process ends.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from feature_checks.classifier import EncodedText, Probabilities
from serving.__main__ import _configure_logging
from serving.inference.engine import FakeEngine
from serving.inference.loading import PreparedModel
from serving.models.registry import ModelVersion
from serving.models.source import ModelSource
from serving.server import Server
from serving.settings import Settings
from tests.support.wire import prepared

VERSION = ModelVersion("1", "fake")
_TURN_SECONDS = 0.01
_WORTH_NOTING_SECONDS = 0.03


class FaultyEngine(FakeEngine):
    """The engine without weights, with the faults that a file names."""

    def __init__(self, fault: Path, seconds_per_token: float) -> None:
        super().__init__(seconds_per_token)
        self._fault = fault

    def run(self, batch: Sequence[EncodedText]) -> Probabilities:
        kind = ""
        with suppress(FileNotFoundError):
            kind = self._fault.read_text(encoding="ascii")
        if kind == "raise":
            raise RuntimeError("the engine is broken")
        while kind == "hang" and self._fault.exists():
            time.sleep(0.05)
        result = super().run(batch)
        return result * np.float32(np.nan) if kind == "nan" else result


class FakeSource(ModelSource):
    """A source whose one version is the faulty engine."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        seconds = float(os.environ.get("SECONDS_PER_TOKEN", "0"))
        engine = FaultyEngine(settings.state_dir / "engine", seconds)
        self.prepared = prepared(VERSION.version, engine=engine)

    registered = False
    follows = False

    def resolve(self) -> ModelVersion:
        return VERSION

    def load(self, version: ModelVersion) -> PreparedModel:
        del version
        return self.prepared


class WatchedServer(Server):
    """The server, with a record of the turns of its event loop that took long."""

    stalls: list[float]

    async def _run(self, first: Any) -> None:
        self.stalls = []
        watching = asyncio.create_task(self._watch())
        await super()._run(first)
        watching.cancel()

    async def _watch(self) -> None:
        """Note how late each timer is, as far as this process has worked meanwhile.

        What other processes on the machine take is no stall of this one.
        """
        while True:
            began, worked = time.monotonic(), time.process_time()
            await asyncio.sleep(_TURN_SECONDS)
            late = min(time.monotonic() - began - _TURN_SECONDS, time.process_time() - worked)
            if late > _WORTH_NOTING_SECONDS:
                self.stalls.append(round(late, 4))


def main() -> None:
    """Serve until SIGTERM."""
    _configure_logging()
    settings = Settings()
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    source = FakeSource(settings)
    server = WatchedServer(settings, source)
    gc.freeze()  # as `python -m serving` does
    server.serve((VERSION, source.prepared))
    stalls = sorted(server.stalls, reverse=True)
    (settings.state_dir / "stalls.json").write_text(json.dumps(stalls), encoding="ascii")


if __name__ == "__main__":
    main()
