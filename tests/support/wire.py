"""The server's routes over a real loopback socket, in the test's own process, on an engine without weights."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from grpc import aio
from uvicorn import Config
from uvicorn.server import ServerState

from feature_checks.bundle import Bundle, FileDigest, Manifest
from serving.api.connection import HttpProtocol
from serving.api.grpc_services import add_services
from serving.api.routes import Routes
from serving.api.servicer import Servicer
from serving.inference.engine import FakeEngine
from serving.inference.loading import PreparedModel
from serving.predictor import Predictor
from serving.settings import Settings
from serving.state.rate_limiter import RateLimiter

VERSION = "3"


def prepared(version: str, digest: str = "0" * 64, engine: FakeEngine | None = None) -> PreparedModel:
    """Return a version on the engine without weights."""
    manifest = Manifest(256, 1.0, 0.1, FileDigest("", 0), "", "", "2026-01-01T00:00:00+00:00", {})
    return PreparedModel(version, Bundle(Path(), manifest, digest), engine or FakeEngine(), "int8")


async def no_kserve(scope: Any, receive: Any, send: Any) -> None:
    """Take the place of KServe's application; the tests of the live server use the real one."""
    del scope, receive
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"kserve"})


async def listen(settings: Settings, **uvicorn: Any) -> Wire:
    """Start the routes with the server's own HTTP protocol on a free port of the loopback interface."""
    predictor, limiter = Predictor(settings), RateLimiter(settings)
    routes = Routes(predictor, limiter, settings, no_kserve)
    state, config = ServerState(), Config(routes, log_config=None, proxy_headers=False, **uvicorn)
    config.load()
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(lambda: HttpProtocol(config, state, {}), "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers={"accept-encoding": ""}, timeout=30)
    await predictor.open()
    return Wire(predictor, routes, client, settings, limiter, listener, state)


@asynccontextmanager
async def grpc_channel(wire: Wire) -> AsyncIterator[aio.Channel]:
    """Serve the predictor of a wire over gRPC too, with every service, and yield a channel to it."""
    server = aio.server()
    add_services(server, Servicer(wire.predictor, wire.limiter, wire.settings))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel
    await server.stop(0)


@dataclass
class Wire:
    """The routes behind a listening socket, and a client connected to it."""

    predictor: Predictor
    routes: Routes
    client: httpx.AsyncClient
    settings: Settings
    limiter: RateLimiter
    listener: asyncio.Server
    state: ServerState
    """uvicorn's state: the open connections and the requests being answered."""

    @property
    def address(self) -> tuple[str, int]:
        """The host and port of the listening socket."""
        host, port = self.listener.sockets[0].getsockname()[:2]
        return host, port

    async def close(self) -> None:
        """Close the client, the listener and everything behind it."""
        await self.client.aclose()
        self.listener.close()
        await self.predictor.close()
        await self.limiter.close()

    async def infer(self, **changes: Any) -> httpx.Response:
        """Send a V2 request for one text with changed members; a member changed to ... is left out."""
        content = {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["good"]}]} | changes
        sent = {name: value for name, value in content.items() if value is not ...}
        return await self.client.post("/v2/models/sentiment/infer", json=sent)

    async def infer_tensor(self, **changes: Any) -> httpx.Response:
        """Send a V2 request whose one input tensor has changed members."""
        tensor = {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["good"]} | changes
        return await self.infer(inputs=[{name: value for name, value in tensor.items() if value is not ...}])

    async def infer_tensor_outputs(self, texts: Sequence[str], outputs: Sequence[str]) -> httpx.Response:
        """Send a V2 request for some texts that names its outputs."""
        tensor = {"name": "text", "shape": [len(texts)], "datatype": "BYTES", "data": list(texts)}
        return await self.infer(inputs=[tensor], outputs=[{"name": name} for name in outputs])
