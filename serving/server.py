"""KServe's ModelServer with our application and servicer in it, and an orderly end.

After SIGTERM readiness turns off, requests are answered for GRACE_SECONDS more, then the listeners close,
what was accepted is answered, and the process exits with 0.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import kserve
import uvicorn
import uvloop
from grpc import aio
from kserve.model_server import app as kserve_app
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import add_GRPCInferenceServiceServicer_to_server
from kserve.protocol.grpc.server import GRPCServer
from kserve.protocol.rest.server import RESTServer

from serving.follower import Follower
from serving.grpc import Servicer
from serving.http import HttpProtocol
from serving.limits import RateLimiter
from serving.loading import Prepared
from serving.predictor import Predictor
from serving.registry import ModelVersion
from serving.routes import Routes
from serving.settings import Settings
from serving.source import ModelSource

logger = logging.getLogger(__name__)

_ENVELOPE_BYTES: Final = 1024 * 1024
"""What a gRPC message may hold besides its texts."""


class _Uvicorn(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone: the end is ordered by the server below."""
        yield


class _Rest(RESTServer):  # type: ignore[misc]  # kserve ships no types
    """KServe's REST server running our application in front of KServe's."""

    def __init__(self, routes: Routes, server: Server, settings: Settings) -> None:
        super().__init__(routes, server.dataplane, server.model_repository_extension, settings.http_port)
        # Neither uvicorn's access log nor its reading of X-Forwarded-For: the routes do both on their own terms.
        self.config = uvicorn.Config(
            routes,
            host="0.0.0.0",  # noqa: S104  # a server in a container
            port=settings.http_port,
            http=HttpProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=server.timeout_keep_alive,
            timeout_graceful_shutdown=int(settings.drain_seconds) or 1,
        )
        self._server = _Uvicorn(self.config)

    async def serve(self) -> None:
        """Serve until `close`; returns when every accepted request is answered."""
        self.create_application()
        await self._server.serve()

    def close(self) -> None:
        """Begin the end: close the listener, answer what was accepted."""
        self._server.should_exit = True


class _Grpc(GRPCServer):  # type: ignore[misc]  # kserve ships no types
    """KServe's gRPC server with our servicer."""

    def __init__(self, servicer: Servicer, server: Server, settings: Settings) -> None:
        super().__init__(
            settings.grpc_port, server.dataplane, server.model_repository_extension, {}, int(settings.drain_seconds)
        )
        self._servicer = servicer
        self._limit = settings.max_body_bytes + _ENVELOPE_BYTES

    async def start(self, max_workers: int) -> None:  # noqa: ARG002  # everything runs on the event loop
        sizes = [(f"grpc.max_{way}_message_length", self._limit) for way in ("send", "receive")]
        self._server = aio.server(options=[*sizes, ("grpc.so_reuseport", 0)])
        add_GRPCInferenceServiceServicer_to_server(self._servicer, self._server)
        self._server.add_insecure_port(f"[::]:{self._port}")
        await self._server.start()
        await self._server.wait_for_termination()


class Server(kserve.ModelServer):  # type: ignore[misc]  # kserve ships no types
    """Serves one predictor until SIGTERM or SIGINT."""

    def __init__(self, settings: Settings, source: ModelSource) -> None:
        """`source` finds the models."""
        super().__init__(http_port=settings.http_port, grpc_port=settings.grpc_port, enable_latency_logging=False)
        self._settings = settings
        self._source = source
        self._predictor = Predictor(settings)
        self._follower = Follower(settings, source, self._predictor)
        self._limiter = RateLimiter(settings)
        self._ended = asyncio.Event()

    def serve(self, first: tuple[ModelVersion, Prepared] | None) -> None:
        """Run until a signal, beginning with the model `first` if there is one."""
        self.register_model(self._predictor)
        uvloop.run(self._run(first))

    async def _run(self, first: tuple[ModelVersion, Prepared] | None) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._ended.set)
        await self._predictor.open()
        if first is not None:
            await self._follower.serve(*first)
        rest = _Rest(Routes(self._predictor, self._limiter, self._settings, kserve_app), self, self._settings)
        grpc = _Grpc(Servicer(self._predictor, self._limiter, self._settings), self, self._settings)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(rest.serve())
            tasks.create_task(grpc.start(0))
            follow = tasks.create_task(self._follower.run())
            await self._ended.wait()
            await self._wind_down(follow)
            rest.close()
            await grpc.stop()
        await self._predictor.close()
        await self._limiter.close()
        logger.info("every accepted request is answered; ending")

    async def _wind_down(self, follow: asyncio.Task[None]) -> None:
        """Turn readiness off and stay for the grace period, in which load balancers learn of it."""
        self._predictor.begin_drain()
        logger.info("readiness is off; requests are answered for %s s more", self._settings.grace_seconds)
        follow.cancel()
        self._source.close()
        await asyncio.sleep(self._settings.grace_seconds)
