"""What one writes first with KServe: a model whose predict runs the same engine on each request as it comes.

python plain_kserve.py PORT BUNDLE      the engine, one session on every core, in KServe's thread pool
python plain_kserve.py PORT null        a constant answer: what KServe's own REST path can do
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any


def main(port: int, bundle: str) -> None:
    """Serve until killed."""
    import asyncio

    import kserve

    from feature_checks import bundle as bundles
    from feature_checks.classifier import OnnxClassifier
    from feature_checks.contract import LABELS

    engine = None
    if bundle != "null":
        engine = OnnxClassifier(bundles.load(Path(bundle)), threads=len(os.sched_getaffinity(0)))

    class Plain(kserve.Model):  # type: ignore[misc]  # kserve ships no types
        def __init__(self) -> None:
            super().__init__("sentiment")
            self.ready = True

        async def predict(self, payload: dict[str, Any], *_: Any, **__: Any) -> dict[str, Any]:
            if engine is None:
                return {"predictions": [{"label": LABELS[0], "confidence": 1.0}]}
            found = await asyncio.to_thread(engine.probabilities, payload["instances"])
            return {
                "predictions": [
                    {
                        "label": LABELS[row.argmax()],
                        "confidence": float(row.max()),
                        "probabilities": dict(zip(LABELS, row.tolist(), strict=True)),
                    }
                    for row in found
                ]
            }

    kserve.ModelServer(http_port=port, enable_grpc=False, workers=1, access_log_format=None).start([Plain()])


if __name__ == "__main__":
    arguments = sys.argv[1:]
    sys.argv = sys.argv[:1]  # kserve parses the command line when it is imported
    main(int(arguments[0]), arguments[1])
