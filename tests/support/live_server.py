"""`python -m serving` as a process on free ports."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.support.ports import free_port


@dataclass
class LiveServer:
    """`python -m serving` as a process."""

    process: subprocess.Popen[bytes]
    http: str
    grpc: str
    log: Path
    variables: dict[str, str] = field(default_factory=dict)

    def output(self) -> str:
        """What the process has logged so far."""
        return self.log.read_text(encoding="utf-8")

    def wait_ready(self, seconds: float = 60, expected: int = 200) -> None:
        """Wait until readiness answers `expected`; fail with the log when it does not come to that."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.process.poll() is None:
            if self.status("/v2/health/ready") == expected:
                return
            time.sleep(0.05)
        raise AssertionError(f"not ready in {seconds} s; exit code {self.process.poll()}\n{self.output()}")

    def status(self, path: str) -> int | None:
        """The status of a GET, None where nothing answers."""
        try:
            return httpx.get(self.http + path, timeout=5).status_code
        except httpx.TransportError:
            return None

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)


@contextmanager
def live(
    folder: Path, *, ready: bool = True, kserve_arguments: Mapping[str, str] | None = None, **variables: str
) -> Iterator[LiveServer]:
    """Run the real server on free ports, with its state and log in `folder`.

    With `kserve_arguments` the ports are arguments as well, and the variables of the ports lead nowhere.
    """
    http_port, grpc_port = free_port(), free_port()
    chosen = {"RATE_LIMIT": "off", "GRACE_SECONDS": "0.2", "STATE_DIR": str(folder)} | variables
    ports = {"HTTP_PORT": str(http_port), "GRPC_PORT": str(grpc_port)}
    command = [sys.executable, "-m", "serving"]
    if kserve_arguments is not None:
        arguments = {name.lower(): value for name, value in ports.items()} | dict(kserve_arguments)
        command += [f"--{name}={value}" for name, value in arguments.items()]
        ports = {"HTTP_PORT": "1", "GRPC_PORT": "1"}
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / f"server-{http_port}.log"
    with log.open("wb") as file:
        process = subprocess.Popen(command, env=os.environ | chosen | ports, stdout=file, stderr=file)
    server = LiveServer(process, f"http://127.0.0.1:{http_port}", f"127.0.0.1:{grpc_port}", log, chosen)
    try:
        if ready:
            server.wait_ready()
        yield server
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
