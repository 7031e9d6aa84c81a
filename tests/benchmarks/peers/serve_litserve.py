"""LitServe with batching, and its faster queue, which its manual advises for many requests a second.

python serve_litserve.py PORT       # with the packages of requirements/litserve.txt; BUNDLE names the bundle
"""

from __future__ import annotations

import sys
from typing import Any

import litserve

from tests.benchmarks.peers.engine import BATCH, WAIT_SECONDS, WORKERS, Engine


class Sentiment(litserve.LitAPI):  # type: ignore[misc]  # not installed where types are checked
    """One text a request, as LitServe's batches have it."""

    def setup(self, device: str) -> None:
        del device
        self.engine = Engine()

    def decode_request(self, request: dict[str, str]) -> str:
        return request["text"]

    def batch(self, inputs: list[str]) -> list[str]:
        return inputs

    def predict(self, x: list[str]) -> list[dict[str, Any]]:
        return self.engine.predictions(x)

    def unbatch(self, output: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return output

    def encode_response(self, output: dict[str, Any]) -> dict[str, Any]:
        return output


if __name__ == "__main__":
    api = Sentiment(max_batch_size=BATCH, batch_timeout=WAIT_SECONDS)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=WORKERS, fast_queue=True)
    server.run(
        host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="warning", access_log=False
    )
