"""The wire in process on an engine without weights, and the real server as a process of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from feature_checks.bundle import Bundle, FileDigest, Manifest
from serving.engine import FakeEngine
from serving.limits import RateLimiter
from serving.loading import Prepared
from serving.predictor import Predictor
from serving.routes import Routes
from serving.settings import Settings

VERSION = "3"


def prepared(version: str, digest: str = "0" * 64, engine: FakeEngine | None = None) -> Prepared:
    """A version on the engine without weights."""
    manifest = Manifest(256, 1.0, 0.1, FileDigest("", 0), "", "", "", {})
    return Prepared(version, Bundle(Path(), manifest, digest), engine or FakeEngine(), "int8")


async def no_kserve(scope: Any, receive: Any, send: Any) -> None:
    """Stands where KServe's application is; the tests of the live server use the real one."""
    del scope, receive
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"kserve"})


@dataclass
class Wire:
    """The routes in process, with a client on them."""

    predictor: Predictor
    routes: Routes
    client: httpx.AsyncClient
    settings: Settings
    limiter: RateLimiter

    async def infer(self, **changes: Any) -> httpx.Response:
        """A V2 request for one text, with changed members; a member changed to ... is left out."""
        content = {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["good"]}]} | changes
        sent = {name: value for name, value in content.items() if value is not ...}
        return await self.client.post("/v2/models/sentiment/infer", json=sent)

    async def infer_tensor(self, **changes: Any) -> httpx.Response:
        """A V2 request whose one input tensor has changed members."""
        tensor = {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["good"]} | changes
        return await self.infer(inputs=[{name: value for name, value in tensor.items() if value is not ...}])


@pytest.fixture
async def make_wire(tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    """Make a wire with the given settings; loaded with version 3 unless `loaded=False`."""
    made: list[Wire] = []

    async def make(*, loaded: bool = True, engine: FakeEngine | None = None, **changes: Any) -> Wire:
        defaults = {"state_dir": tmp_path, "prediction_log": "off", "rate_limit": "off", "engine_threads": 1}
        settings = Settings(**(defaults | changes))
        predictor, limiter = Predictor(settings), RateLimiter(settings)
        routes = Routes(predictor, limiter, settings, no_kserve)
        transport = httpx.ASGITransport(routes, client=("127.0.0.1", 5000))
        client = httpx.AsyncClient(transport=transport, base_url="http://test", headers={"accept-encoding": ""})
        await predictor.open()
        if loaded:
            await predictor.swap(prepared(VERSION, engine=engine))
        made.append(Wire(predictor, routes, client, settings, limiter))
        return made[-1]

    yield make
    for wire in made:
        await wire.client.aclose()
        await wire.predictor.close()
        await wire.limiter.close()


@pytest.fixture
async def wire(make_wire: Callable[..., Any]) -> Wire:
    """The routes with the default settings, no rate limit and no log."""
    made: Wire = await make_wire()
    return made


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


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
def live(folder: Path, *, ready: bool = True, **variables: str) -> Iterator[LiveServer]:
    """Run the real server on free ports, with its state and log in `folder`."""
    http_port, grpc_port = free_port(), free_port()
    chosen = {"RATE_LIMIT": "off", "GRACE_SECONDS": "0.2", "STATE_DIR": str(folder)} | variables
    ports = {"HTTP_PORT": str(http_port), "GRPC_PORT": str(grpc_port)}
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / f"server-{http_port}.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "serving"], env=os.environ | chosen | ports, stdout=file, stderr=file
        )
    server = LiveServer(process, f"http://127.0.0.1:{http_port}", f"127.0.0.1:{grpc_port}", log, chosen)
    try:
        if ready:
            server.wait_ready()
        yield server
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Bundle) -> Iterator[LiveServer]:
    """The real server on the tiny bundle's folder."""
    folder = tmp_path_factory.mktemp("server")
    with live(folder, MODEL_URI=str(tiny_bundle.folder), PREDICTION_LOG="off") as running:
        yield running
