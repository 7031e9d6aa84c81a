"""The wire in process on an engine without weights, and the real server as a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import fsspec
import httpx
import pytest
from moto.server import ThreadedMotoServer
from s3fs import S3FileSystem

from feature_checks import bundle as bundles
from feature_checks.bundle import Bundle, FileDigest, Manifest
from feature_checks.contract import MODEL_NAME
from serving.engine import FakeEngine
from serving.limits import RateLimiter
from serving.loading import Prepared
from serving.predictor import Predictor
from serving.routes import Routes
from serving.settings import Settings

VERSION = "3"


def prepared(version: str, digest: str = "0" * 64, engine: FakeEngine | None = None) -> Prepared:
    """A version on the engine without weights."""
    manifest = Manifest(256, 1.0, 0.1, FileDigest("", 0), "", "", "2026-01-01T00:00:00+00:00", {})
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


def until(condition: Callable[[], Any], seconds: float = 30) -> None:
    """Wait until the condition holds; fail when it does not come to that."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"still not so after {seconds} s"
        time.sleep(0.05)


async def eventually(condition: Callable[[], Any]) -> None:
    """Wait until the condition holds, without holding up the event loop."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110  # states of other threads have no event to wait for
            await asyncio.sleep(0.005)


def variant(bundle: Bundle, folder: Path, **changes: Any) -> Bundle:
    """A copy of the exported bundle below `folder`, with changed manifest members and its digests right."""
    shutil.copytree(bundle.folder.parent, folder)
    return bundles.seal(folder / "bundle", replace(bundle.manifest, **changes))


@dataclass
class Registry:
    """A real MLflow registry, to publish bundles in."""

    uri: str
    artifacts: str
    """Where a run's artifacts go."""
    versions: list[str] = field(default_factory=list)

    @property
    def client(self) -> Any:
        """MLflow's own client."""
        from mlflow import MlflowClient

        return MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)

    def publish(self, exported: Path, *, champion: bool = True) -> str:
        """Register `exported` (which holds bundle and fp32) as a new version, laid out as MLflow logs a model."""
        from mlflow.exceptions import MlflowException

        client = self.client
        if not self.versions:
            self.experiment = client.create_experiment("tests", artifact_location=self.artifacts or None)
            with suppress(MlflowException):
                client.create_registered_model(MODEL_NAME)
        run = client.create_run(self.experiment)
        client.log_artifacts(run.info.run_id, str(exported), "model/artifacts")
        source = f"{run.info.artifact_uri}/model"
        version = str(client.create_model_version(MODEL_NAME, source, run.info.run_id).version)
        self.versions.append(version)
        if champion:
            self.move_alias(version)
        return version

    def move_alias(self, version: str) -> None:
        """Make a version champion."""
        self.client.set_registered_model_alias(MODEL_NAME, "champion", version)


@pytest.fixture
def sqlite_registry(tmp_path: Path) -> Registry:
    """An empty registry in SQLite, artifacts in a folder."""
    return Registry(f"sqlite:///{tmp_path}/mlflow.db", (tmp_path / "artifacts").as_uri())


class MlflowServer:
    """`mlflow server` as a process that can be stopped and started again."""

    def __init__(self, folder: Path) -> None:
        """State goes into `folder`."""
        self.folder, self.port = folder, free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        command = [sys.executable, "-m", "mlflow", "server", "--port", str(self.port), "--workers", "1"]
        stores = ["--backend-store-uri", f"sqlite:///{self.folder}/server.db"]
        artifacts = ["--artifacts-destination", str(self.folder / "artifacts")]
        with (self.folder / "mlflow.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*command, *stores, *artifacts], stdout=log, stderr=log, process_group=0, cwd=self.folder
            )
        until(self.answers, 120)

    def answers(self) -> bool:
        """Tell whether it is up."""
        try:
            return httpx.get(f"{self.uri}/health", timeout=2).status_code == 200
        except httpx.TransportError:
            return False

    def stop(self) -> None:
        """End it with its workers."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """A real MLflow server on SQLite."""
    server = MlflowServer(tmp_path_factory.mktemp("mlflow"))
    server.start()
    yield server
    server.stop()


@dataclass(frozen=True)
class Published:
    """What the shared MLflow server has registered: the tiny model in a good and several bad states."""

    registry: Registry
    server: MlflowServer
    cold: str
    """Good, temperature 1."""
    warm: str
    """Good, temperature 3: the same labels with other probabilities."""
    fp32_only: str
    """Good, but its INT8 is off by more than it allows."""
    wrong: str
    """Its reference probabilities are not its own."""
    foreign: str
    """Of another CONTRACT_VERSION."""
    damaged: str
    """A file that is not the one of the manifest."""


@pytest.fixture
def published(registered: Published) -> Published:
    """The shared MLflow server with its versions, up."""
    if registered.server.process is None:
        registered.server.start()
    return registered


@pytest.fixture(scope="session")
def registered(mlflow_server: MlflowServer, tiny_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Published:
    """Register every state of the tiny model; the alias is where each test puts it."""
    folder = tmp_path_factory.mktemp("variants")
    registry = Registry(mlflow_server.uri, "")
    variant(tiny_bundle, folder / "cold")
    warm = variant(tiny_bundle, folder / "warm", temperature=3.0, self_test_max_gap=1.0)
    variant(tiny_bundle, folder / "fp32", self_test_max_gap=1e-5)
    wrong = folder / "wrong"
    shutil.copytree(folder / "cold", wrong)
    reference = json.loads((wrong / "bundle" / bundles.REFERENCE).read_text(encoding="utf-8"))
    reference["probabilities"] = [[2.0, -1.0, 0.0] for _ in reference["probabilities"]]
    (wrong / "bundle" / bundles.REFERENCE).write_text(json.dumps(reference), encoding="utf-8")
    bundles.seal(wrong / "bundle", tiny_bundle.manifest)
    foreign = folder / "foreign"
    shutil.copytree(warm.folder.parent, foreign)
    manifest = (foreign / "bundle" / bundles.MANIFEST).read_text(encoding="utf-8")
    changed = manifest.replace('"contract_version": "1"', '"contract_version": "0"')
    (foreign / "bundle" / bundles.MANIFEST).write_text(changed, encoding="utf-8")
    damaged = folder / "damaged"
    shutil.copytree(warm.folder.parent, damaged)
    with (damaged / "bundle" / bundles.INT8_MODEL).open("ab") as file:
        file.write(b"\0")
    names = ("cold", "warm", "fp32", "wrong", "foreign", "damaged")
    return Published(registry, mlflow_server, *(registry.publish(folder / name, champion=False) for name in names))


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """Return the endpoint of an S3 server on loopback."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(s3: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Return the URL of a new S3 bucket; the environment leads every client and child process to it."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    S3FileSystem.clear_instance_cache()
    url = f"s3://{uuid.uuid4().hex}"
    filesystem, root = fsspec.url_to_fs(url)
    filesystem.mkdir(root)
    yield url
    S3FileSystem.clear_instance_cache()
