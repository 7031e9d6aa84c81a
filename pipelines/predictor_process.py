"""The predictor as a child process, for the demo and for scripts that call it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx


def model_name() -> str:
    """Return the name that the model is served under (environment: MODEL_NAME, default `sentiment`)."""
    return os.environ.get("MODEL_NAME") or "sentiment"


class PredictorFailed(RuntimeError):
    """The predictor did not start, stop or answer as it should; `log` is the file with its messages."""

    def __init__(self, message: str, log: Path) -> None:
        super().__init__(message)
        self.log = log


@dataclass(frozen=True)
class PredictorProcess:
    """A running predictor and its base URL.

    Example: `with PredictorProcess.start(Path("predictor.log")) as predictor: predictor.model_version()`.
    """

    process: subprocess.Popen[bytes]
    url: str
    log: Path

    @classmethod
    @contextmanager
    def start(cls, log: Path, environment: Mapping[str, str] | None = None) -> Iterator[PredictorProcess]:
        """Start `python -m serving` on free ports, without a rate limit; wait for readiness; stop it at the end."""
        log.parent.mkdir(parents=True, exist_ok=True)
        http_port, grpc_port = free_ports(2)
        variables = {"HTTP_PORT": str(http_port), "GRPC_PORT": str(grpc_port), "RATE_LIMIT": "off"}
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "serving"],
                env={**os.environ, **variables, **(environment or {})},
                stdout=output,
                stderr=subprocess.STDOUT,
                # Ctrl-C must not stop it before the requests that go on are answered; `stop` ends it.
                process_group=0,
            )
        predictor = cls(process, f"http://127.0.0.1:{http_port}", log)
        try:
            predictor.wait_until_ready()
            yield predictor
        finally:
            predictor.stop()

    def wait_until_ready(self, seconds: float = 120) -> None:
        """Return when the model is ready. Raises PredictorFailed when the process ends or the time is up."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise PredictorFailed(f"the predictor ended with exit code {self.process.returncode}", self.log)
            if self._is_ready():
                return
            time.sleep(0.2)
        raise PredictorFailed(f"the predictor was not ready within {seconds:.0f} s; is there a champion?", self.log)

    def _is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/v2/models/{model_name()}/ready", timeout=2).status_code == 200
        except httpx.TransportError:
            return False

    def stop(self) -> None:
        """Ask the process to end and wait for it. Raises PredictorFailed unless it ends cleanly."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            if self.process.returncode != 0:
                raise PredictorFailed(f"the predictor ended with exit code {self.process.returncode}", self.log)

    def model_version(self) -> str:
        """Return the version that is served now."""
        reply = httpx.get(f"{self.url}/v2/models/{model_name()}", timeout=10).raise_for_status()
        return str(reply.json()["versions"][0])

    def wait_for_version(self, version: str, seconds: float = 120) -> None:
        """Return when the version is served. Raises PredictorFailed when the time is up."""
        deadline = time.monotonic() + seconds
        while (served := self.model_version()) != version:
            if time.monotonic() > deadline:
                raise PredictorFailed(f"version {served} is served after {seconds:.0f} s, not {version}", self.log)
            time.sleep(0.5)

    def infer(self, client: httpx.Client, text: str) -> str:
        """Return the label of one text over V2."""
        body = {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": [text]}]}
        reply = client.post(f"/v2/models/{model_name()}/infer", json=body).raise_for_status().json()
        outputs = {output["name"]: output["data"] for output in reply["outputs"]}
        return str(outputs["label"][0])

    def predict(self, client: httpx.Client, texts: Sequence[str]) -> list[dict[str, Any]]:
        """Return the predictions of texts over V1."""
        reply = client.post(f"/v1/models/{model_name()}:predict", json={"instances": list(texts)}).raise_for_status()
        predictions: list[dict[str, Any]] = reply.json()["predictions"]
        return predictions


def free_ports(count: int) -> list[int]:
    """Return TCP ports of the loopback interface that are free now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for item in sockets:
            item.bind(("127.0.0.1", 0))
        return [item.getsockname()[1] for item in sockets]
    finally:
        for item in sockets:
            item.close()
