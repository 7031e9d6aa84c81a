"""The routes on a socket of the test's own process, and the real server as a process of its own."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from moto.server import ThreadedMotoServer
from s3fs import S3FileSystem

from feature_checks import bundle as bundles
from feature_checks.bundle import Bundle
from serving.inference.engine import FakeEngine
from serving.settings import Settings
from tests.support.live_server import LiveServer, live
from tests.support.mlflow_registry import MlflowServer, Published, Registry, variant
from tests.support.wire import VERSION, Wire, listen, prepared


@pytest.fixture
async def make_wire(tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    """Start the routes with the given settings, and with version 3 unless `loaded=False`."""
    made: list[Wire] = []

    async def make(*, loaded: bool = True, engine: FakeEngine | None = None, **changes: Any) -> Wire:
        defaults: dict[str, Any] = {
            "state_dir": tmp_path,
            "prediction_log": "off",
            "rate_limit": "off",
            "engine_threads": 1,
        }
        settings = Settings(**(defaults | changes))
        made.append(await listen(settings))
        if loaded:
            await made[-1].predictor.swap(prepared(VERSION, engine=engine))
        return made[-1]

    yield make
    for wire in made:
        await wire.close()


@pytest.fixture
async def wire(make_wire: Callable[..., Any]) -> Wire:
    """The routes with the default settings, no rate limit and no log."""
    made: Wire = await make_wire()
    return made


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Bundle) -> Iterator[LiveServer]:
    """The real server on the tiny bundle's folder."""
    folder = tmp_path_factory.mktemp("server")
    with live(folder, MODEL_URI=str(tiny_bundle.folder), PREDICTION_LOG="off") as running:
        yield running


@pytest.fixture
def sqlite_registry(tmp_path: Path) -> Registry:
    """An empty registry in SQLite, artifacts in a folder."""
    return Registry(f"sqlite:///{tmp_path}/mlflow.db", (tmp_path / "artifacts").as_uri())


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """A real MLflow server on SQLite."""
    server = MlflowServer(tmp_path_factory.mktemp("mlflow"))
    server.start()
    yield server
    server.stop()


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
