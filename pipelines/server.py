"""The predictor as a child process, for the demo and for whoever wants to call it from a script."""

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
from typing import Any, Final

import httpx

MODEL: Final = os.environ.get("MODEL_NAME") or "sentiment"


class ServerFailed(RuntimeError):
    """The predictor did not start, stop or answer as it should; the message says where its log is."""


@dataclass(frozen=True)
class ServerProcess:
    """A running predictor and its base URL."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path

    @classmethod
    @contextmanager
    def start(cls, log: Path, environment: Mapping[str, str] | None = None) -> Iterator[ServerProcess]:
        """Start `python -m serving` on free ports, without rate limit; wait for readiness; stop it at the end."""
        http_port, grpc_port = free_ports(2)
        variables = {"HTTP_PORT": str(http_port), "GRPC_PORT": str(grpc_port), "RATE_LIMIT": "off"}
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "serving"],
                env={**os.environ, **variables, **(environment or {})},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        server = cls(process, f"http://127.0.0.1:{http_port}", log)
        try:
            server.wait_until_ready()
            yield server
        finally:
            server.stop()

    def wait_until_ready(self, seconds: float = 120) -> None:
        """Return when the model is ready. Raises ServerFailed when the process ends or the time is up."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise ServerFailed(f"the predictor ended with exit code {self.process.returncode}; see {self.log}")
            if self._is_ready():
                return
            time.sleep(0.2)
        raise ServerFailed(f"the predictor was not ready within {seconds:.0f} s; is there a champion? See {self.log}")

    def _is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/v2/models/{MODEL}/ready", timeout=2).status_code == 200
        except httpx.TransportError:
            return False

    def stop(self) -> None:
        """Ask the process to end and wait for it. Raises ServerFailed unless it ends cleanly."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(timeout=60)
            if self.process.returncode != 0:
                raise ServerFailed(f"the predictor ended with exit code {self.process.returncode}; see {self.log}")

    def model_version(self) -> str:
        """Return the version that is served now."""
        reply = httpx.get(f"{self.url}/v2/models/{MODEL}", timeout=10).raise_for_status()
        return str(reply.json()["versions"][0])

    def wait_for_version(self, version: str, seconds: float = 120) -> None:
        """Return when the version is served. Raises ServerFailed when the time is up."""
        deadline = time.monotonic() + seconds
        while (served := self.model_version()) != version:
            if time.monotonic() > deadline:
                raise ServerFailed(f"version {served} is served after {seconds:.0f} s, not {version}; see {self.log}")
            time.sleep(0.5)

    def infer(self, client: httpx.Client, text: str) -> str:
        """Return the label of one text over V2."""
        body = {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": [text]}]}
        reply = client.post(f"/v2/models/{MODEL}/infer", json=body).raise_for_status().json()
        outputs = {output["name"]: output["data"] for output in reply["outputs"]}
        return str(outputs["label"][0])

    def predict(self, client: httpx.Client, texts: Sequence[str]) -> list[dict[str, Any]]:
        """Return the predictions of texts over V1."""
        reply = client.post(f"/v1/models/{MODEL}:predict", json={"instances": list(texts)}).raise_for_status()
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
