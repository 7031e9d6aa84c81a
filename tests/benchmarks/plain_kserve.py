"""A predictor as KServe's guide writes one: `predict` runs the same engine on each request by itself.

python plain_kserve.py PORT BUNDLE           predict as KServe's guide has it, called on the event loop
python plain_kserve.py PORT BUNDLE threads   tuned: predict in the event loop's thread pool, which uses every core
python plain_kserve.py PORT null             a constant answer: what KServe's own REST path can do
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any


def main(port: int, bundle: str, *options: str) -> None:
    """Serve until killed."""
    import asyncio

    import kserve

    from feature_checks import bundle as bundles
    from feature_checks.contract import LABELS
    from serving.inference.engine import OnnxEngine

    class Null(kserve.Model):  # type: ignore[misc]  # kserve ships no types
        def __init__(self) -> None:
            super().__init__("sentiment")
            self.ready = True

        def predict(self, *_: Any, **__: Any) -> Any:
            return {"predictions": [{"label": LABELS[0], "confidence": 1.0}]}

    class Plain(Null):
        def __init__(self) -> None:
            super().__init__()
            self.engine = OnnxEngine(bundles.load(Path(bundle)))

        def predict(self, payload: dict[str, Any], *_: Any, **__: Any) -> Any:
            return {
                "predictions": [
                    {
                        "label": LABELS[row.argmax()],
                        "confidence": float(row.max()),
                        "probabilities": dict(zip(LABELS, row.tolist(), strict=True)),
                    }
                    for row in self.engine.probabilities(payload["instances"])
                ]
            }

    class Threaded(Plain):
        async def predict(self, payload: dict[str, Any], *_: Any, **__: Any) -> Any:
            return await asyncio.to_thread(super().predict, payload)

    model = Null() if bundle == "null" else Threaded() if "threads" in options else Plain()
    kserve.ModelServer(http_port=port, enable_grpc=False, workers=1, access_log_format=None).start([model])


if __name__ == "__main__":
    arguments = sys.argv[1:]
    sys.argv = sys.argv[:1]  # kserve parses the command line when it is imported
    main(int(arguments[0]), *arguments[1:])
