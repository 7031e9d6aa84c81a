"""The servers under test, each a process of its own on a free port."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import httpx
import psutil

# A script finds only its own folder; the shared helpers are imported from the repository root.
sys.path.append(str(Path(__file__).parents[2]))
from tests.support.ports import free_port

ROOT = Path(__file__).parents[2]
_HERE = Path(__file__).parent
_START_SECONDS = 120.0


@dataclass(frozen=True)
class Server:
    """A server that answered its readiness probe."""

    port: int
    pid: int
    start_seconds: float
    """From the process's start to its first answer that it is ready."""
    grpc_port: int = 0
    """The gRPC port; 0 for servers without one."""

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        os.kill(self.pid, number)

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return Path(f"/proc/{self.pid}/stat").read_text(encoding="utf-8").rpartition(") ")[2][0] != "Z"

    @property
    def processes(self) -> list[psutil.Process]:
        """The process and those that it has started."""
        return _tree(self.pid)

    @property
    def cpu_seconds(self) -> float:
        """Processor time so far, of all threads and processes: what a busy neighbour cannot change."""
        times = [process.cpu_times() for process in self.processes]
        return float(sum(time.user + time.system for time in times))

    @property
    def resident_mib(self) -> float:
        """Resident memory now, in MiB."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="utf-8")
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        if found is None:
            raise ValueError(f"/proc/{self.pid}/status has no VmRSS")
        return round(int(found[1]) / 1024, 1)


@contextmanager
def plain_kserve(bundle: Path | str, log: IO[str], *options: str) -> Iterator[Server]:
    """Serve the bundle, or `null`, with plain KServe; plain_kserve.py says what `options` there are."""
    port = free_port()
    command = [sys.executable, str(_HERE / "plain_kserve.py"), str(port), str(bundle), *options]
    with running(command, port, {}, log) as server:
        yield server


@contextmanager
def null_route(log: IO[str]) -> Iterator[Server]:
    """Serve the bare Starlette route."""
    port = free_port()
    with running([sys.executable, str(_HERE / "null_route.py"), str(port)], port, {}, log) as server:
        yield server


@contextmanager
def predictor(bundle: Path, state: Path, log: IO[str], **variables: str) -> Iterator[Server]:
    """Serve the bundle with `python -m serving`, its limiter on but too generous to refuse."""
    with own(["-m", "serving"], state, log, {"MODEL_URI": str(bundle), **variables}) as server:
        yield server


@contextmanager
def fake_engine(state: Path, log: IO[str], **variables: str) -> Iterator[Server]:
    """Serve the engine without weights; fake_engine_server.py says what `variables` there are besides the settings."""
    with own(["-m", "tests.support.fake_engine_server"], state, log, variables) as server:
        yield server


@contextmanager
def own(command: list[str], state: Path, log: IO[str], variables: Mapping[str, str]) -> Iterator[Server]:
    """Serve with one of this project's modules, on free ports."""
    port, grpc_port = free_port(), free_port()
    environment = {
        "STATE_DIR": str(state),
        "HTTP_PORT": str(port),
        "GRPC_PORT": str(grpc_port),
        "RATE_LIMIT": "100000000/minute",
        "GRACE_SECONDS": "0",
        **variables,
    }
    with running([sys.executable, *command], port, environment, log) as server:
        yield replace(server, grpc_port=grpc_port)


@contextmanager
def running(
    command: Sequence[str], port: int, environment: Mapping[str, str], log: IO[str], ready: str = "/v2/health/ready"
) -> Iterator[Server]:
    """Run a server of one or more processes; it is ready when the path `ready` answers 200.

    Raises RuntimeError if it ends before, and TimeoutError if it is not ready in time.
    """
    variables = os.environ | {"PYTHONPATH": str(ROOT), **environment}
    started = time.monotonic()
    process = subprocess.Popen(command, env=variables, stdout=log, stderr=log)
    try:
        _await_ready(process, port, ready)
        yield Server(port, process.pid, round(time.monotonic() - started, 2))
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    children: list[psutil.Process] = []
    with suppress(psutil.NoSuchProcess):  # it may have ended by itself
        children = _tree(process.pid)[1:]
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for child in children:
        with suppress(psutil.NoSuchProcess):
            child.kill()


def _tree(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def _await_ready(process: subprocess.Popen[bytes], port: int, ready: str) -> None:
    ends = time.monotonic() + _START_SECONDS
    while time.monotonic() < ends:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with {process.returncode}; its output is in the log")
        try:
            if httpx.get(f"http://127.0.0.1:{port}{ready}", timeout=2).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise TimeoutError(f"{process.args!r} was not ready within {_START_SECONDS} s")
