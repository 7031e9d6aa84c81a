"""The predictor image: confined to 1 CPU and 1 GiB it gets ready in time and answers every protocol."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import docker
import httpx
import numpy as np
from docker.models.containers import Container

from feature_checks import bundle as bundles
from feature_checks.classifier import OnnxClassifier
from tests.images.engine import ROOT, SERVING, ask, require, running, shared_folder

# A script finds only its own folder; the shared helpers are imported from the repository root.
sys.path.append(str(Path(__file__).parents[2]))
from tests.support.ports import free_port

UID: Final = 10001
READY_SECONDS: Final = 20.0
LEFT_OUT: Final = ("torch", "transformers", "kfp", "mlflow", "sklearn", "evidently", "great_expectations", "pip")
LIMITS: Final = {"nano_cpus": 1_000_000_000, "mem_limit": "1g", "memswap_limit": "1g"}

INFER: Final = "/v2/models/sentiment/infer"
TEXTS: Final = ["It is good.", "Schlecht, ganz schlecht: kaputt."]


@dataclass
class Predictor:
    """A running predictor."""

    container: Container
    http: str
    grpc: str
    started: float
    log: Path
    """The folder that is its prediction log."""

    def status(self, path: str) -> int | None:
        """Return the status of a GET, None where nothing answers."""
        try:
            return httpx.get(self.http + path, timeout=5).status_code
        except httpx.TransportError:
            return None

    def state(self) -> dict[str, Any]:
        """Return what the engine says of the container's state."""
        self.container.reload()
        return dict(self.container.attrs["State"])

    def exit_code(self) -> int:
        """Wait until the container has ended by itself. Raises CheckFailed when it does not within a minute."""
        until(lambda: self.state()["Status"] == "exited", 60, "the container has ended")
        return int(self.state()["ExitCode"])

    def logged(self) -> int:
        """Return the number of lines in the prediction log; each must be whole."""
        lines = [line for path in self.log.rglob("*.jsonl") for line in path.read_text(encoding="utf-8").splitlines()]
        return len([json.loads(line) for line in lines])


@contextmanager
def predictor(client: docker.DockerClient, bundle: Path, state: Path, **variables: str) -> Iterator[Predictor]:
    """Run the predictor on a bundle folder, mounted read-only, with `state` as its state folder."""
    shared_folder(state)
    http, grpc = free_port(), free_port()
    environment = {"MODEL_URI": "/model/bundle", "HTTP_PORT": str(http), "GRPC_PORT": str(grpc), "RATE_LIMIT": "off"}
    volumes = {
        str(bundle.parent): {"bind": "/model", "mode": "ro"},
        str(state): {"bind": "/var/lib/review-sentiment", "mode": "rw"},
    }
    started = time.monotonic()
    with running(client, SERVING, environment=environment | variables, volumes=volumes, **LIMITS) as container:
        try:
            yield Predictor(container, f"http://127.0.0.1:{http}", f"127.0.0.1:{grpc}", started, state / "predictions")
        except BaseException:
            print(container.logs().decode()[-6000:], file=sys.stderr)
            raise


def until(condition: Callable[[], object], seconds: float, what: str) -> None:
    """Wait until the condition holds. Raises CheckFailed when that takes longer."""
    end = time.monotonic() + seconds
    while not condition():
        require(time.monotonic() < end, f"after {seconds:.0f} s still not so: {what}")
        time.sleep(0.05)


def check_ready_in_time(server: Predictor) -> float:
    """Return the seconds from `docker run` to readiness."""
    until(lambda: server.status("/v2/health/ready") == 200, READY_SECONDS * 3, "the predictor is ready")
    seconds = time.monotonic() - server.started
    require(
        seconds < READY_SECONDS, f"ready after {seconds:.1f} s on one CPU; at most {READY_SECONDS:.0f} s are allowed"
    )
    return seconds


def check_confined(server: Predictor) -> None:
    """The server's own process has the user, the rights and the limits that it was given, and no training library."""
    status = "pathlib.Path('/proc/1/status').read_text().split()"
    expected = {
        f"{status}[{status}.index('Uid:') + 1]": str(UID),
        f"int({status}[{status}.index('CapBnd:') + 1], 16)": "0",
        f"{status}[{status}.index('NoNewPrivs:') + 1]": "1",
        "os.access('/app', os.W_OK) or os.access('/var/tmp', os.W_OK)": "False",
        "os.access('/tmp', os.W_OK) and os.access(os.environ['STATE_DIR'], os.W_OK)": "True",
        "__import__('feature_checks.processor', fromlist=['processor']).cpu_quota()": "1.0",
        "[p.read_text().strip() for p in map(pathlib.Path, ('/sys/fs/cgroup/memory.max', "
        "'/sys/fs/cgroup/memory/memory.limit_in_bytes')) if p.is_file()]": f"['{1024**3}']",
        f"[name for name in {LEFT_OUT} if __import__('importlib.util').util.find_spec(name)]": "[]",
    }
    for expression, right in expected.items():
        found = ask(server.container, expression)
        require(found == right, f"in the predictor's container {expression} is {found}; {right} would be right")


def check_protocols(server: Predictor, bundle: Path) -> None:
    """V1, V2 and gRPC give the probabilities that the bundle gives here."""
    expected = OnnxClassifier(bundles.load(bundle)).probabilities(TEXTS)
    with httpx.Client(base_url=server.http, timeout=20) as client:
        v1 = client.post("/v1/models/sentiment:predict", json={"instances": TEXTS}).raise_for_status().json()
        v2 = infer(client, TEXTS).raise_for_status().json()
    by_name = {output["name"]: output["data"] for output in v2["outputs"]}
    answers = {
        "V1": [list(row["probabilities"].values()) for row in v1["predictions"]],
        "V2": np.reshape(by_name["probabilities"], (-1, 3)),
        "gRPC": grpc_probabilities(server),
    }
    for protocol, found in answers.items():
        close = np.allclose(found, expected, atol=1e-4)
        require(close, f"{protocol} answers {found}; {expected.tolist()} is what the bundle gives")


def grpc_probabilities(server: Predictor) -> Any:
    """Return what KServe's gRPC client gets for the texts, asked in a process of its own."""
    script = ROOT / "tests" / "serving" / "api" / "client_scripts.py"
    command = [sys.executable, str(script), "kserve_grpc", server.http, server.grpc]
    result = subprocess.run(command, capture_output=True, text=True, env=os.environ, check=False)
    require(result.returncode == 0, f"KServe's gRPC client failed: {result.stderr[-2000:]}")
    found = json.loads(result.stdout.splitlines()[-1])
    require(found["ready"] and found["model_ready"], f"gRPC says that the server is not ready: {found}")
    return found["v2"]["probabilities"]


def check_health(server: Predictor) -> None:
    """The image's HEALTHCHECK finds the ready server healthy."""
    until(lambda: server.state()["Health"]["Status"] == "healthy", 30, "HEALTHCHECK reports healthy")


def infer(client: httpx.Client, texts: list[str]) -> httpx.Response:
    """One V2 request."""
    tensor = {"name": "text", "shape": [len(texts)], "datatype": "BYTES", "data": texts}
    return client.post(INFER, json={"inputs": [tensor]})
