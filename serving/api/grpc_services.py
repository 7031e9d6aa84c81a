"""Every service of the gRPC server: inference, the standard health checks (`grpc.health.v1`) and reflection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final

from google.protobuf.message import DecodeError
from grpc import StatusCode, stream_unary_rpc_method_handler
from grpc.aio import Server, ServicerContext
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import add_GRPCInferenceServiceServicer_to_server

from serving.api.servicer import Servicer
from serving.errors import RequestError, ServingError, TooLarge
from serving.predictor import Predictor

INFERENCE: Final = "inference.GRPCInferenceService"
HEALTH: Final = "grpc.health.v1.Health"

_WATCH_SECONDS: Final = 0.5
"""How often a watched status is looked up."""
_MESSAGE_SECONDS: Final = 10.0
"""How long the server waits for the message of a request that is not for inference."""
_MAX_MESSAGE_BYTES: Final = 64 * 1024
"""The longest message of such a request."""


class HealthServicer(health_pb2_grpc.HealthServicer):  # type: ignore[misc]  # generated without types
    """The standard health service. The status of the server, and of its inference service, is the readiness."""

    def __init__(self, predictor: Predictor) -> None:
        """Report the readiness of `predictor`."""
        self._predictor = predictor

    async def Check(self, request: Any, context: ServicerContext[Any, Any]) -> Any:  # noqa: N802
        """Return the current status; NOT_FOUND for an unknown service."""
        status = self._status(request.service)
        if status is None:
            await context.abort(StatusCode.NOT_FOUND, f"known services are the empty name and {INFERENCE}")
        return health_pb2.HealthCheckResponse(status=status)

    async def Watch(self, request: Any, context: ServicerContext[Any, Any]) -> AsyncIterator[Any]:  # noqa: ARG002, N802
        """Yield the status whenever it changes; the stream ends when the server shuts down."""
        last = None
        while True:
            status = self._status(request.service)
            if status is None:
                status = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
            if status != last:
                yield health_pb2.HealthCheckResponse(status=status)
                last = status
            if self._predictor.draining:
                return
            await asyncio.sleep(_WATCH_SECONDS)

    def _status(self, service: str) -> Any:
        if service not in ("", INFERENCE):
            return None
        response = health_pb2.HealthCheckResponse
        return response.SERVING if self._predictor.usable else response.NOT_SERVING


class _BoundedMessages:
    """Stands between generated code and the server, and has every unary method read its message within limits.

    grpcio itself would wait for a message without limit, and decode any message on the event loop.
    """

    def __init__(self, server: Server, servicer: Servicer) -> None:
        self._server = server
        self._servicer = servicer

    def add_generic_rpc_handlers(self, handlers: Any) -> None:
        """Ignore the generic handlers, because the registered ones are the same."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        """Register the methods of a service."""
        bounded = {name: self._bounded(handler) for name, handler in handlers.items()}
        self._server.add_registered_method_handlers(service, bounded)

    def _bounded(self, handler: Any) -> Any:
        if handler.unary_unary is None:
            return handler
        if handler.unary_unary == self._servicer.ModelInfer:  # it reads its message itself
            return stream_unary_rpc_method_handler(
                self._servicer.ModelInfer, response_serializer=handler.response_serializer
            )

        async def call(_: Any, context: ServicerContext[Any, Any]) -> Any:
            request = await self._read(handler.request_deserializer, context)
            return await handler.unary_unary(request, context)

        return stream_unary_rpc_method_handler(call, response_serializer=handler.response_serializer)

    async def _read(self, decode: Callable[[bytes], Any], context: ServicerContext[Any, Any]) -> Any:
        deadline = asyncio.get_running_loop().time() + _MESSAGE_SECONDS
        try:
            content: Any = await self._servicer.intake.read(context.read, deadline)
            if not isinstance(content, bytes):  # the client has closed its side
                raise RequestError("message: found none; expected one")
            if len(content) > _MAX_MESSAGE_BYTES:
                raise TooLarge(f"message: found {len(content)} bytes; expected at most {_MAX_MESSAGE_BYTES}")
            return decode(content)
        except ServingError as error:
            await context.abort(StatusCode[error.grpc_code], error.public_message)
        except DecodeError as error:
            await context.abort(StatusCode.INVALID_ARGUMENT, f"message: not in protobuf's wire format ({error})")


def add_services(server: Server, servicer: Servicer) -> None:
    """Add inference, health checks and reflection to the server."""
    bounded = _BoundedMessages(server, servicer)
    add_GRPCInferenceServiceServicer_to_server(servicer, bounded)
    health_pb2_grpc.add_HealthServicer_to_server(HealthServicer(servicer.predictor), bounded)
    reflection.enable_server_reflection((INFERENCE, HEALTH, reflection.SERVICE_NAME), server)
