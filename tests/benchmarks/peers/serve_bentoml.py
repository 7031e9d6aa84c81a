"""BentoML with adaptive batching.

bentoml serve tests.benchmarks.peers.serve_bentoml:Sentiment       # with the packages of requirements/bentoml.txt
"""

from __future__ import annotations

from typing import Any

import bentoml

from tests.benchmarks.peers.engine import BATCH, WORKERS, Engine


@bentoml.service(workers=WORKERS, metrics={"enabled": False}, logging={"access": {"enabled": False}})
class Sentiment:
    """Answers a list of texts. BentoML joins the lists of several requests, and waits as long as it finds best."""

    def __init__(self) -> None:
        self.engine = Engine()

    # The types of BentoML are not known where types are checked: it is not installed there.
    @bentoml.api(batchable=True, max_batch_size=BATCH)  # type: ignore[untyped-decorator]
    def predict(self, texts: list[str]) -> list[dict[str, Any]]:
        return self.engine.predictions(texts)
