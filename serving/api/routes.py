"""The ASGI application in front of KServe's: it answers every HTTP request except `GET /metrics`.

It is plain ASGI, because every additional layer costs more than the handlers do.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from functools import partial
from typing import Final, TypeVar
from urllib.parse import quote

from serving.api.caller import Callers
from serving.api.pages import StatusPages
from serving.api.rate_limit_headers import rate_limit_headers, require_allowed
from serving.api.request import (
    CLOSE,
    JSON,
    App,
    ClientLeft,
    Headers,
    HttpRequest,
    Receive,
    Reply,
    Scope,
    Send,
    error_reply,
    head,
    json_reply,
    request_ids,
    traced,
)
from serving.api.routing import Route, RouteTable
from serving.errors import NotReady, ServingError
from serving.handlers import CLOUD_EVENT, EXPLAIN, V1, V2, Handlers, WireFormat
from serving.predictor import Predictor
from serving.protocol import cloud_events
from serving.protocol.common import MAX_COMPRESSION, MAX_QUOTED_CHARS, Prediction, compress, decode_body
from serving.protocol.feedback import MAX_FEEDBACK_BYTES
from serving.settings import Settings
from serving.state.rate_limiter import Decision, RateLimiter
from serving.telemetry import metrics, tracing

R = TypeVar("R")

logger = logging.getLogger(__name__)

_INLINE_BYTES: Final = 1024 * 1024
"""A compressed body that may become longer than this is decoded in a thread."""
_OCTETS: Final = b"application/octet-stream"
_CLIENT_LEFT_STATUS: Final = 499
"""The status under which metrics count a request without a reply (nginx's number)."""


class Routes:
    """The application. It belongs to the event loop on which it is called."""

    def __init__(self, predictor: Predictor, limiter: RateLimiter, settings: Settings, kserve_app: App) -> None:
        """Answer with `predictor`; `kserve_app` answers `GET /metrics` and everything that is not HTTP."""
        self._predictor = predictor
        self._limiter = limiter
        self.settings = settings
        self._budget = predictor.bodies
        self._kserve_app = kserve_app
        self._handlers = Handlers(predictor, settings)
        self._callers = Callers(settings)
        self._failures = predictor.failures
        source = settings.ce_source or f"io.kserve.inference.{quote(settings.model_name)}"
        self._events = cloud_events.EventReplies(settings.ce_type, source, settings.ce_merge)
        self._request_ids = request_ids()
        self._table = self._route_table(StatusPages(predictor, settings))

    def _route_table(self, pages: StatusPages) -> RouteTable:
        name = self.settings.model_name
        v1, v2 = f"/v1/models/{name}", f"/v2/models/{name}"
        paths = {
            f"{v2}/infer": Route({"POST": self._infer}, protocol="v2"),
            f"{v1}:predict": Route({"POST": self._predict}, protocol="v1"),
            f"{v1}:explain": Route({"POST": self._explain}, protocol="v1"),
            f"{v1}/feedback": Route({"POST": self._feedback}, protocol="v1"),
            v2: Route({"GET": pages.model_metadata}, protocol="v2"),
            f"{v2}/ready": Route({"GET": pages.model_ready}, limited=False, protocol="v2"),
            v1: Route({"GET": pages.model_ready}, limited=False, protocol="v1"),
            "/v2/health/live": Route({"GET": pages.live}, limited=False, protocol="v2"),
            "/v2/health/ready": Route({"GET": pages.ready}, limited=False, protocol="v2"),
            "/": Route({"GET": pages.root}, limited=False, protocol="v1"),
            "/metrics": Route({"GET": partial(head, self._kserve_app)}, limited=False),
            "/v2": Route({"GET": pages.server_metadata}, protocol="v2"),
            "/v1/models": Route({"GET": pages.list_models}, protocol="v1"),
            "/v2/models": Route({"GET": pages.list_models}, protocol="v2"),
            "/v2/repository/index": Route({"GET": pages.index, "POST": pages.index}, protocol="v2"),
            "/openapi.json": Route({"GET": pages.openapi}),
            "/docs": Route({"GET": pages.docs}),
            **{path: Route({"GET": handler}, limited=False) for path, handler in pages.static.items()},
        }
        return RouteTable(paths, name)

    # -- one request -------------------------------------------------------------------------------------------

    @property
    def paths(self) -> frozenset[str]:
        """The paths that are served; those that name a model version are not listed."""
        return self._table.paths

    def owns(self, scope: Scope) -> bool:
        """Whether `answer` is responsible for this request; KServe's application answers the others."""
        return scope["type"] == "http" and not (scope["path"] == "/metrics" and scope["method"] == "GET")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request as an ASGI application."""
        if not self.owns(scope):
            await self._kserve_app(scope, receive, send)
            return
        reply = await self.answer(scope, receive)
        await send({"type": "http.response.start", "status": reply.status, "headers": reply.headers})
        await send({"type": "http.response.body", "body": reply.body})

    def answer(self, scope: Scope, receive: Receive, arrived: bytes | None = None) -> Awaitable[Reply]:
        """Return the reply to one request; `arrived` is its body if all of it is there already.

        The call is cancelled, or raises ClientLeft, if the client closes the connection before the reply.
        """
        path, method = scope["path"], scope["method"]
        deadline = asyncio.get_running_loop().time() + self.settings.request_timeout_seconds
        request = HttpRequest(scope, receive, next(self._request_ids), deadline, arrived)
        route, request.version = self._table.find(path)
        answer = self._answer(request, route, method, path)
        return answer if tracing.tracer is None or not route.limited else traced(request, route.name, answer)

    async def _answer(self, request: HttpRequest, route: Route, method: str, path: str) -> Reply:
        decision: Decision | None = None
        try:
            if route.limited:
                decision = await self._limit(request)
                require_allowed(decision)
            reply = await self._table.handler(route, method, path)(request)
        except ServingError as error:
            reply = error_reply(error)
            self._record_failure(request, reply.status, error.logged_message)
        except (ClientLeft, asyncio.CancelledError):
            self._count(route.protocol, _CLIENT_LEFT_STATUS, request.model_version)
            raise
        except Exception:  # a fault of the server must not break the connection
            logger.exception("request %s failed", request.request_id)
            message = f"internal error; the server's log has the details of request {request.request_id}"
            reply = json_reply({"error": message}, 500)
            self._record_failure(request, reply.status, message)
        finally:
            if request.taken:
                self._budget.give_back(request.taken)
        self._count(route.protocol, reply.status, request.model_version)
        return Reply(reply.status, reply.body, reply.content_type, self._headers(reply, request.request_id, decision))

    async def _limit(self, request: HttpRequest) -> Decision | None:
        client = request.scope.get("client")
        peer = client[0] if client else "unknown"
        caller = self._callers.identify(peer, request.text)
        request.user = caller.user
        return await self._limiter.hit(caller.user, caller.rate_limit)

    def _headers(self, reply: Reply, request_id: str, decision: Decision | None) -> Headers:
        return (
            (b"content-type", reply.content_type),
            # The length of a 304 would be that of the content that is not sent.
            *(() if reply.status == 304 else ((b"content-length", b"%d" % len(reply.body)),)),
            (b"x-request-id", request_id.encode()),
            *reply.headers,
            *(() if decision is None else rate_limit_headers(decision)),
            *((CLOSE,) if self._predictor.draining else ()),
        )

    def _record_failure(self, request: HttpRequest, status: int, error: str) -> None:
        """Log a failed request, except readiness probes, which fail regularly while a pod starts or ends."""
        path: str = request.scope["path"]
        if path.endswith("/ready") and status == NotReady.status:
            return
        self._failures.record(
            request_id=request.request_id,
            client_id=request.client_id,
            route=f"{request.scope['method']} {path[:MAX_QUOTED_CHARS]}",
            status=str(status),
            error=error,
            user=request.user,
            seconds=asyncio.get_running_loop().time() - request.deadline + self.settings.request_timeout_seconds,
        )

    def _count(self, protocol: str, status: int, version: str) -> None:
        metrics.REQUESTS.series(protocol, str(status), version).inc()

    # -- handlers ----------------------------------------------------------------------------------------------

    async def _infer(self, request: HttpRequest) -> Reply:
        header_length = request.headers.get(b"inference-header-content-length")
        (body, json_length), prediction = await self._handle(V2, request, header_length)
        if json_length is None:
            return _success(request, prediction, body)
        size = (b"inference-header-content-length", b"%d" % json_length)
        return _success(request, prediction, body, _OCTETS, size)

    async def _predict(self, request: HttpRequest) -> Reply:
        event = cloud_events.binary_attributes(request.headers)
        if event is None and cloud_events.is_structured(request.headers):
            (body, event), prediction = await self._handle(CLOUD_EVENT, request)
            body = self._events.body(event, request.request_id, body)
            return _success(request, prediction, body, cloud_events.MEDIA_TYPE)
        body, prediction = await self._handle(V1, request)
        headers = () if event is None else self._events.headers(event, request.request_id)
        return _success(request, prediction, body, JSON, *headers)

    async def _explain(self, request: HttpRequest) -> Reply:
        body, prediction = await self._handle(EXPLAIN, request)
        return _success(request, prediction, body)

    async def _handle(
        self, wire: WireFormat[bytes, R], request: HttpRequest, header_length: bytes | None = None
    ) -> tuple[R, Prediction]:
        body = request.short_body(self.settings.max_body_bytes) or await self._body(request)
        return await self._handlers.infer(wire, request, body, header_length)

    async def _feedback(self, request: HttpRequest) -> Reply:
        body = await self._body(request, MAX_FEEDBACK_BYTES)
        record = await self._handlers.feedback(body, request.user)
        return json_reply({"request_id": record.request_id, "item": record.item, "label": record.label}, 202)

    async def _body(self, request: HttpRequest, most: int | None = None) -> bytes:
        """Return the decoded body, which may have at most `most` bytes, and never more than MAX_BODY_BYTES."""
        limit = min(self.settings.max_body_bytes, most or self.settings.max_body_bytes)
        body = await request.body(limit, self._budget)
        encoding = request.headers.get(b"content-encoding")
        if encoding is None:
            return body
        if len(body) * MAX_COMPRESSION <= _INLINE_BYTES:
            return decode_body(body, encoding, limit)
        decoded = await self._handlers.in_thread(request.deadline, decode_body, body, encoding, limit)
        request.take(len(decoded), self._budget)
        return decoded


def _success(
    request: HttpRequest, prediction: Prediction, body: bytes, content_type: bytes = JSON, *more: tuple[bytes, bytes]
) -> Reply:
    headers: Headers = ((b"x-model-version", prediction.model_version.encode()), *more)
    if prediction.truncated:
        headers = (*headers, (b"x-truncated-texts", b"%d" % prediction.truncated))
    body, encoding = compress(body, request.headers.get(b"accept-encoding"))
    if encoding is not None:
        headers = (*headers, (b"content-encoding", encoding))
    return Reply(200, body, content_type, headers)
