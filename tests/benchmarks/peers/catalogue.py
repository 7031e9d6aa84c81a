"""The servers that are measured: how each is started, how a request is written, and where an answer has its numbers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from feature_checks.contract import LABELS
from tests.benchmarks.load import V1_BODY
from tests.benchmarks.peers import environments
from tests.benchmarks.peers.engine import BATCH, WAIT_SECONDS, WORKERS
from tests.benchmarks.peers.serve_infinity import write_model
from tests.benchmarks.scenarios import Bench
from tests.benchmarks.servers import Server, running
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
    calibrated: bool = True
    """Whether the server applies the bundle's temperature."""


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


OURS: Final = Wire("/v1/models/sentiment:predict", V1_BODY, _v1)


def _mlserver(programs: Path, port: int, bench: Bench) -> list[str]:
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
    return [str(programs / "python"), str(_HERE / "serve_infinity.py"), str(port), str(folder)]


_MLSERVER: Final = Wire("/v2/models/sentiment/infer", _V2_BODY, _v2)
_BENTOML: Final = Wire("/predict", {"texts": "$texts"}, lambda reply: [row["probabilities"] for row in reply])
_LITSERVE: Final = Wire("/predict", {"text": "$text"}, lambda reply: [reply["probabilities"]], many=False)
_INFINITY: Final = Wire("/classify", {"model": "sentiment", "input": "$texts"}, _infinity, calibrated=False)

PEERS: Final = (
    Peer("MLServer", "mlserver", _MLSERVER, "/v2/models/sentiment/ready", _mlserver),
    Peer("BentoML", "bentoml", _BENTOML, "/readyz", _bentoml),
    Peer("LitServe", "litserve", _LITSERVE, "/health", _litserve),
    Peer("infinity", "infinity", _INFINITY, "/health", _infinity_command),
)
KSERVE: Final = {"KServe, as its guide": [], "KServe, in threads": ["threads"]}
"""Options of plain_kserve.py; it runs in this project's environment."""
OUR_NAME: Final = "this predictor"


@contextmanager
def started(peer: Peer, bench: Bench, folder: Path) -> Iterator[Server]:
    """Make the environment of a peer in `folder` and serve the bundle with it.

    Raises PeerUnavailable if it cannot be installed or does not start.
    """
    programs = environments.make(environments.REQUIREMENTS / f"{peer.folder}.txt", folder / peer.folder)
    with served(peer, programs, bench, folder / f"{peer.folder}.log") as server:
        yield server


@contextmanager
def served(peer: Peer, programs: Path, bench: Bench, log: Path) -> Iterator[Server]:
    """Serve the bundle with a peer's programs; its output goes to `log`.

    Raises PeerUnavailable with the last line of the output if the server does not start.
    """
    port = free_port()
    command = peer.command(programs, port, bench)
    state = {"BUNDLE": str(bench.bundle), "BENTOML_HOME": str(bench.state / "bentoml"), "HF_HOME": str(bench.state)}
    with ExitStack() as stack:
        output = stack.enter_context(log.open("w"))
        try:
            server = stack.enter_context(running(command, port, _QUIET | state, output, peer.ready))
        except (RuntimeError, TimeoutError) as error:
            lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
            last = next((line.strip() for line in reversed(lines) if line.strip()), "no output")
            raise environments.PeerUnavailable(f"it did not start: {last}") from error
        yield server
