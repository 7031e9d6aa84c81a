"""KServe's ModelServer with this project's HTTP application and gRPC servicer, and an orderly shutdown.

After SIGTERM readiness turns off, and requests are still accepted for GRACE_SECONDS. Then the listeners close, every
accepted request is answered, and the process exits with code 0.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import kserve
import uvicorn
import uvloop
from grpc import aio
from kserve.model_server import app as kserve_app
from kserve.protocol.grpc.server import GRPCServer
from kserve.protocol.rest.server import RESTServer

from serving.api.connection import HttpProtocol, close_slow_connections
from serving.api.grpc_services import add_services
from serving.api.routes import Routes
from serving.api.servicer import Servicer
from serving.inference.loading import PreparedModel
from serving.memory import return_large_blocks
from serving.models.alias_watcher import AliasWatcher
from serving.models.registry import ModelVersion
from serving.models.source import ModelSource
from serving.predictor import Predictor
from serving.settings import Settings
from serving.state.rate_limiter import RateLimiter
from serving.telemetry import tracing

logger = logging.getLogger(__name__)

_BACKLOG: Final = 2048
"""How many connections the system may hold until the server accepts them."""
_OWN_FILES: Final = 256
"""The files that the server opens besides the REST connections, gRPC connections included."""
_SWITCH_SECONDS: Final = 0.0005
"""How long a thread that parses a large body may keep the event loop waiting for the interpreter. With Python's five
milliseconds the loop gets two hundred turns a second, and every request needs several of them."""
_ENVELOPE_BYTES: Final = 1024 * 1024
"""The bytes that a gRPC message may hold besides its texts."""


def listening_socket(port: int) -> socket.socket:
    """Return a socket that listens on every IPv6 and IPv4 address, or on every IPv4 address where IPv6 is missing.

    Raises OSError if the port is taken. The caller closes the socket.
    """
    if socket.has_dualstack_ipv6():
        return socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=_BACKLOG)
    return socket.create_server(("0.0.0.0", port), backlog=_BACKLOG)  # noqa: S104  # a server in a container


def within_open_files(settings: Settings) -> Settings:
    """Raise this process's limit of open files, and return the settings with MAX_CONNECTIONS below it.

    The model registry, the prediction log and Redis need files of their own when every connection is taken.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard == resource.RLIM_INFINITY or settings.max_connections + _OWN_FILES <= hard:
        return settings
    most = max(1, hard - _OWN_FILES)
    logger.warning("MAX_CONNECTIONS is lowered to %d: this process may open %d files at most", most, hard)
    return settings.model_copy(update={"max_connections": most})


def grpc_options(settings: Settings) -> list[tuple[str, int]]:
    """Return the channel options of the gRPC server."""
    limit = settings.max_body_bytes + _ENVELOPE_BYTES
    options = [(f"grpc.max_{way}_message_length", limit) for way in ("send", "receive")]
    if settings.max_connection_age_seconds is not None:
        options.append(("grpc.max_connection_age_ms", int(1000 * settings.max_connection_age_seconds)))
        options.append(("grpc.max_connection_age_grace_ms", int(1000 * settings.request_timeout_seconds)))
    options.append(("grpc.server_handshake_timeout_ms", int(1000 * settings.header_timeout_seconds)))
    options.append(("grpc.max_connection_idle_ms", 1000 * settings.keep_alive_seconds))
    # A client that has vanished without closing its connection is noticed by a ping.
    options.append(("grpc.keepalive_time_ms", 1000 * settings.keep_alive_seconds))
    return [*options, ("grpc.so_reuseport", 0)]


class _Uvicorn(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle no signal, because `Server` does."""
        yield


class _Rest(RESTServer):  # type: ignore[misc]  # kserve ships no types
    """KServe's REST server, with `Routes` in front of KServe's application."""

    def __init__(self, routes: Routes, server: Server, settings: Settings) -> None:
        super().__init__(routes, server.dataplane, server.model_repository_extension, settings.http_port)
        # Uvicorn must neither write its access log nor read X-Forwarded-For, because the routes do both themselves.
        self.config = uvicorn.Config(
            routes,
            port=settings.http_port,
            http=HttpProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=settings.keep_alive_seconds,
            timeout_graceful_shutdown=int(settings.drain_seconds) or 1,
        )
        self._server = _Uvicorn(self.config)
        self._settings = settings

    async def serve(self) -> None:
        """Serve until `close` is called; return when every accepted request is answered."""
        self.create_application()
        connections = self._server.server_state.connections
        guard = asyncio.create_task(close_slow_connections(connections, self._settings))
        try:
            await self._server.serve([listening_socket(self._settings.http_port)])
        finally:
            guard.cancel()

    def close(self) -> None:
        """Close the listener and answer the accepted requests."""
        self._server.should_exit = True


class _Grpc(GRPCServer):  # type: ignore[misc]  # kserve ships no types
    """KServe's gRPC server with this project's servicer, the standard health service and reflection."""

    def __init__(self, servicer: Servicer, server: Server, settings: Settings) -> None:
        super().__init__(
            settings.grpc_port, server.dataplane, server.model_repository_extension, {}, int(settings.drain_seconds)
        )
        self._servicer = servicer
        self._options = grpc_options(settings)

    async def start(self, max_workers: int) -> None:  # noqa: ARG002  # everything runs on the event loop
        self._server = aio.server(options=self._options)
        add_services(self._server, self._servicer)
        self._server.add_insecure_port(f"[::]:{self._port}")
        await self._server.start()
        await self._server.wait_for_termination()


class Server(kserve.ModelServer):  # type: ignore[misc]  # kserve ships no types
    """Serves one predictor until SIGTERM or SIGINT."""

    def __init__(self, settings: Settings, source: ModelSource) -> None:
        """Serve the models of `source`."""
        return_large_blocks()
        settings = within_open_files(settings)
        super().__init__(http_port=settings.http_port, grpc_port=settings.grpc_port, enable_latency_logging=False)
        self._settings = settings
        self._source = source
        self._predictor = Predictor(settings)
        self._alias_watcher = AliasWatcher(settings, source, self._predictor)
        self._limiter = RateLimiter(settings)
        self._ended = asyncio.Event()
        if settings.otel_exporter_otlp_endpoint:
            tracing.start(settings.otel_exporter_otlp_endpoint)

    def serve(self, first: tuple[ModelVersion, PreparedModel] | None) -> None:
        """Run until a signal arrives, and start with the model `first` if there is one."""
        sys.setswitchinterval(_SWITCH_SECONDS)
        self.register_model(self._predictor)
        uvloop.run(self._run(first))

    async def _run(self, first: tuple[ModelVersion, PreparedModel] | None) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._ended.set)
        await self._predictor.open()
        if first is not None:
            await self._alias_watcher.serve(*first)
        rest = _Rest(Routes(self._predictor, self._limiter, self._settings, kserve_app), self, self._settings)
        grpc = _Grpc(Servicer(self._predictor, self._limiter, self._settings), self, self._settings)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(rest.serve())
            tasks.create_task(grpc.start(0))
            follow = tasks.create_task(self._alias_watcher.run())
            await self._ended.wait()
            await self._wind_down(follow)
            rest.close()
            await grpc.stop()
        await self._predictor.close()
        await self._limiter.close()
        await asyncio.to_thread(tracing.stop)
        logger.info("every accepted request is answered; the process ends")

    async def _wind_down(self, follow: asyncio.Task[None]) -> None:
        """Turn readiness off, and wait for the grace period, in which load balancers notice it."""
        self._predictor.begin_drain()
        logger.info("readiness is off; requests are still accepted for %s s", self._settings.grace_seconds)
        follow.cancel()
        self._source.close()
        await asyncio.sleep(self._settings.grace_seconds)
