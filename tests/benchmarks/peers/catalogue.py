"""The servers that are measured: how each is started, how a request is written, and where an answer has its numbers."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from feature_checks.contract import LABELS
from tests.benchmarks.load import V1_BODY
from tests.benchmarks.peers import environments
from tests.benchmarks.peers.serve_infinity import write_model
from tests.benchmarks.scenarios import Bench
from tests.benchmarks.servers import Server, plain_kserve, predictor, running
from tests.support.ports import free_port

_HERE: Final = Path(__file__).parent
_V2_BODY: Final = {"inputs": [{"name": "text", "datatype": "BYTES", "shape": ["$count"], "data": "$texts"}]}
_QUIET: Final = {"DO_NOT_TRACK": "1", "BENTOML_DO_NOT_TRACK": "true", "INFINITY_ANONYMOUS_USAGE_STATS": "0"}

Probabilities = Mapping[str, float]
"""The probability of each label."""


@dataclass(frozen=True)
class Wire:
    """What requests and answers look like."""

    path: str
    body: Any
    """See `load.filled`."""
    read: Callable[[Any], list[Probabilities]]
    """Returns the probabilities of each text of an answer."""
    many: bool = True
    """Whether a request may hold many texts."""


@dataclass(frozen=True)
class Peer:
    """A server with an environment of its own."""

    name: str
    folder: str
    """Of its environment, and the name of its file of requirements."""
    wire: Wire
    ready: str
    command: Callable[[Path, int, Bench], Sequence[str]]
    """Returns the command for its programs, a port and the bundle, and writes the files that it needs."""


def _v1(reply: Any) -> list[Probabilities]:
    return [prediction["probabilities"] for prediction in reply["predictions"]]


def _v2(reply: Any) -> list[Probabilities]:
    (values,) = [output["data"] for output in reply["outputs"] if output["name"] == "probabilities"]
    rows = [values[start : start + len(LABELS)] for start in range(0, len(values), len(LABELS))]
    return [dict(zip(LABELS, row, strict=True)) for row in rows]


def _infinity(reply: Any) -> list[Probabilities]:
    return [{label["label"]: label["score"] for label in text} for text in reply["data"]]


def calibrated(probabilities: Probabilities, temperature: float) -> Probabilities:
    """Return the probabilities at another temperature, from those at 1.

    A softmax of logits divided by T is the T-th root of the softmax of the logits, divided by its sum.
    """
    roots = {label: value ** (1 / temperature) for label, value in probabilities.items()}
    return {label: root / sum(roots.values()) for label, root in roots.items()}


OURS: Final = Wire("/v1/models/sentiment:predict", V1_BODY, _v1)


def _mlserver(programs: Path, port: int, bench: Bench) -> list[str]:
    from tests.benchmarks.peers.engine import BATCH, WAIT_SECONDS, WORKERS

    settings = {
        "http_port": port,
        "grpc_port": free_port(),
        "parallel_workers": WORKERS,
        "debug": False,
        "metrics_endpoint": None,
    }
    model = {
        "name": "sentiment",
        "implementation": "tests.benchmarks.peers.serve_mlserver.Sentiment",
        "max_batch_size": BATCH,
        "max_batch_time": WAIT_SECONDS,
    }
    folder = bench.state / "mlserver"
    folder.mkdir()
    (folder / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
    (folder / "model-settings.json").write_text(json.dumps(model), encoding="utf-8")
    return [str(programs / "mlserver"), "start", str(folder)]


def _bentoml(programs: Path, port: int, _: Bench) -> list[str]:
    service = "tests.benchmarks.peers.serve_bentoml:Sentiment"
    return [str(programs / "bentoml"), "serve", service, "--host", "127.0.0.1", "--port", str(port)]


def _litserve(programs: Path, port: int, _: Bench) -> list[str]:
    return [str(programs / "python"), str(_HERE / "serve_litserve.py"), str(port)]


def _infinity_command(programs: Path, port: int, bench: Bench) -> list[str]:
    folder = bench.state / "infinity"
    write_model(bench.bundle, folder)
    model = ["--model-id", str(folder), "--served-model-name", "sentiment", "--engine", "optimum", "--device", "cpu"]
    return [str(programs / "infinity_emb"), "v2", *model, "--host", "127.0.0.1", "--port", str(port)]


PEERS: Final = (
    Peer("MLServer", "mlserver", Wire("/v2/models/sentiment/infer", _V2_BODY, _v2), "/v2/health/ready", _mlserver),
    Peer("BentoML", "bentoml", Wire("/predict", {"texts": "$texts"}, lambda reply: [row["probabilities"] for row in reply]), "/readyz", _bentoml),
    Peer("LitServe", "litserve", Wire("/predict", {"text": "$text"}, lambda reply: [reply["probabilities"]], many=False), "/health", _litserve),
    Peer("infinity", "infinity", Wire("/classify", {"model": "sentiment", "input": "$texts"}, _infinity), "/health", _infinity_command),
)
