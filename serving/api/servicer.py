"""`inference.GRPCInferenceService` with the same rules as the REST routes for parsing, versions, limits and errors."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from functools import wraps
from operator import attrgetter
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import unquote

from grpc import StatusCode
from grpc.aio import ServicerContext
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.servicer import InferenceServicer

from serving.api.caller import Caller, Callers
from serving.api.rate_limit_headers import rate_limit_headers, require_allowed
from serving.api.request import request_ids
from serving.errors import NotFound, RequestError, ServingError, Unauthorised
from serving.handlers import INLINE_BYTES, Call, Handlers, WireFormat
from serving.memory import MessageIntake, most_text_bytes
from serving.predictor import Predictor
from serving.protocol import metadata
from serving.protocol.common import InferRequest, quoted
from serving.protocol.protobuf import decode_message, message_reply, parse_message
from serving.settings import Settings
from serving.state.rate_limiter import RateLimiter
from serving.telemetry import metrics, tracing

logger = logging.getLogger(__name__)

Context = ServicerContext[Any, Any]
Q = TypeVar("Q")
R = TypeVar("R")
Method = Callable[[Any, Q, Context], Awaitable[R]]


class _Sized(NamedTuple):
    message: Any
    """The ModelInferRequest."""
    size: int
    """Its bytes on the wire: protobuf would encode the message again to tell them."""
    most_text_bytes: int
    """The most memory that its texts can take."""


def _decode(content: bytes, max_texts: int) -> _Sized:
    return _Sized(decode_message(content, max_texts), len(content), most_text_bytes(content))


def _parse(content: _Sized, header_length: bytes | None, max_texts: int) -> InferRequest:
    return parse_message(content.message, header_length, max_texts)


_GRPC: Final[WireFormat[_Sized, Any]] = WireFormat(
    attrgetter("size"), "grpc", _parse, message_reply, attrgetter("most_text_bytes")
)
_MANAGED: Final = "clients cannot load or unload models; move the registry's alias instead"


def _reports_errors(method: Method[Q, R]) -> Method[Q, R]:
    """Report a ServingError as its gRPC status, and any other exception as INTERNAL with a log entry."""

    @wraps(method)
    async def call(self: Any, request: Q, context: Context) -> R:
        started = time.perf_counter()
        try:
            return await method(self, request, context)
        except ServingError as error:
            code, message, details = StatusCode[error.grpc_code], error.public_message, error.logged_message
            wait = [(name.decode(), value.decode()) for name, value in error.headers]
            context.set_trailing_metadata((*context.trailing_metadata(), *wait))
        except Exception:  # a fault of the server must not reach the client as UNKNOWN
            logger.exception("a gRPC request failed")
            code, message = StatusCode.INTERNAL, "internal error; the server's log has the details"
            details = message
        self.record_failure(method.__name__, context, code, details, time.perf_counter() - started)
        metrics.REQUESTS.series("grpc", code.name, "").inc()
        await context.abort(code, message)
        raise AssertionError("abort returned")

    return call


class GrpcCall(Call):
    """One gRPC request."""

    __slots__ = ("sent",)

    def __init__(self, context: Context, request_id: str, deadline: float) -> None:
        super().__init__(request_id, deadline)
        self.sent = _sent(context)
        """The metadata that the client sent."""

    @property
    def client_id(self) -> str:
        """The x-request-id that the client sent; empty if it sent none."""
        return self.sent.get("x-request-id", "")


class Servicer(InferenceServicer):  # type: ignore[misc]  # kserve ships no types
    """KServe's gRPC servicer, overridden to follow the same rules as the REST routes."""

    def __init__(self, predictor: Predictor, limiter: RateLimiter, settings: Settings) -> None:
        """Answer with `predictor`; `limiter` must be the one that the routes use."""
        super().__init__(None, None)
        self.predictor = predictor
        self._limiter = limiter
        self._timeout = settings.request_timeout_seconds
        self._max_texts = settings.max_texts
        self.intake = MessageIntake(predictor.bodies, settings.max_body_bytes)
        """Receives the messages of all methods."""
        self._handlers = Handlers(predictor, settings)
        self._callers = Callers(settings)
        self._request_ids = request_ids()

    async def ServerLive(self, request: Any, context: Context) -> Any:  # noqa: ARG002, N802
        """Report that the process is alive."""
        return pb.ServerLiveResponse(live=True)

    async def ServerReady(self, request: Any, context: Context) -> Any:  # noqa: ARG002, N802
        """Report whether a request would be answered and the server is not shutting down."""
        return pb.ServerReadyResponse(ready=self.predictor.usable)

    @_reports_errors
    async def ModelReady(self, request: Any, context: Context) -> Any:  # noqa: ARG002, N802
        """Report whether the model, or one version of it, would answer."""
        self._check_name(request.name)
        if self.predictor.usable:
            self.predictor.model(request.version or None)
        return pb.ModelReadyResponse(ready=self.predictor.usable)

    @_reports_errors
    async def ServerMetadata(self, request: Any, context: Context) -> Any:  # noqa: ARG002, N802
        """Return the name, version and extensions of the server."""
        self._identify(context)
        return pb.ServerMetadataResponse(**metadata.server_metadata())

    @_reports_errors
    async def ModelMetadata(self, request: Any, context: Context) -> Any:  # noqa: N802
        """Return the model's metadata; the trailing metadata `labels` holds the order of the labels."""
        self._identify(context)
        self._check_name(request.name)
        if request.version:
            self.predictor.model(request.version)
        content = metadata.model_metadata(request.name, self.predictor.versions)
        labels = content.pop("parameters")["labels"]
        context.set_trailing_metadata((("labels", labels),))
        return pb.ModelMetadataResponse(**content)

    async def RepositoryModelLoad(self, request: Any, context: Context) -> Any:  # noqa: ARG002, N802
        """Refuse: clients do not manage models."""
        await context.abort(StatusCode.UNIMPLEMENTED, _MANAGED)

    async def RepositoryModelUnload(self, request: Any, context: Context) -> Any:  # noqa: ARG002, N802
        """Refuse: clients do not manage models."""
        await context.abort(StatusCode.UNIMPLEMENTED, _MANAGED)

    @_reports_errors
    async def ModelInfer(self, request: Any, context: Context) -> Any:  # noqa: ARG002, N802
        """Score the texts of one request, whose message is read from `context` within limits of time and memory."""
        call = GrpcCall(context, next(self._request_ids), self._deadline(context))
        about = {"rpc.system": "grpc", "sentiment.request_id": call.request_id}
        with tracing.request_span("gRPC ModelInfer", call.sent.get, about) as describe:
            await self._limit(call, context)
            content = await self.intake.read(context.read, call.deadline)
            if not isinstance(content, bytes):  # the client has closed its side
                raise RequestError("message: found none; expected one ModelInferRequest")
            with self.predictor.bodies.holding(len(content)):
                sized = await self._message(content, call.deadline)
                del content
                call.version = sized.message.model_version or None
                self._check_name(sized.message.model_name)
                response, _ = await self._handlers.infer(_GRPC, call, sized)
            describe({"sentiment.version": call.model_version}, "")
        metrics.REQUESTS.series("grpc", "OK", call.model_version).inc()
        return response

    async def _message(self, content: bytes, deadline: float) -> _Sized:
        """Return the decoded message. Raises RequestError or TooLarge."""
        if len(content) <= INLINE_BYTES:
            return _decode(content, self._max_texts)
        return await self._handlers.in_thread(deadline, _decode, content, self._max_texts)

    def record_failure(self, method: str, context: Context, code: StatusCode, error: str, seconds: float) -> None:
        """Log a failed call."""
        try:
            user = self._identify(context).user
        except Unauthorised:
            user = ""
        trailing = {key: str(value) for key, value in context.trailing_metadata() or ()}
        self.predictor.failures.record(
            request_id=trailing.get("x-request-id", ""),
            client_id=_sent(context).get("x-request-id", ""),
            route=f"gRPC {method}",
            status=code.name,
            error=error,
            user=user,
            seconds=seconds,
        )

    def _identify(self, context: Context) -> Caller:
        """Return the sender of a call. Raises Unauthorised."""
        sent = _sent(context)
        return self._callers.identify(peer_address(context.peer()), lambda name: sent.get(name.decode()))

    def _check_name(self, name: str) -> None:
        if name != self.predictor.name:
            raise NotFound(f"model {quoted(name)}: unknown; the model here is {self.predictor.name!r}")

    async def _limit(self, call: Call, context: Context) -> None:
        """Identify the user, and put the allowance into the trailing metadata. Raises Unauthorised or RateLimited."""
        caller = self._identify(context)
        call.user = caller.user
        decision = await self._limiter.hit(caller.user, caller.rate_limit)
        fields = rate_limit_headers(decision) if decision else ()
        trailing = [("x-request-id", call.request_id), *((name.decode(), value.decode()) for name, value in fields)]
        context.set_trailing_metadata(trailing)
        require_allowed(decision)

    def _deadline(self, context: Context) -> float:
        left = context.time_remaining()
        return asyncio.get_running_loop().time() + (self._timeout if left is None else min(self._timeout, left))


def _sent(context: Context) -> dict[str, str]:
    return {key: str(value) for key, value in context.invocation_metadata() or ()}


def peer_address(peer: str) -> str:
    """Return the address in a gRPC peer such as `ipv4:127.0.0.1:5000` or `ipv6:%5B::1%5D:5000`."""
    kind, _, rest = peer.partition(":")
    host, _, _ = unquote(rest).rpartition(":")
    return host.strip("[]") if kind in ("ipv4", "ipv6") else peer
