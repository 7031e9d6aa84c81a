"""The ASGI application in front of KServe's: the whole wire, with nothing between socket and handler.

Raw ASGI, because every layer costs more than the handlers do. KServe's own application still answers
`GET /metrics`.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from serving import metrics
from serving.errors import MethodNotAllowed, NotFound, ServingError
from serving.exchange import (
    CLOSE,
    App,
    ClientLeft,
    Exchange,
    Headers,
    Receive,
    Reply,
    Scope,
    Send,
    error_reply,
    json_reply,
)
from serving.identity import Identity, allowance, refusal
from serving.limits import Decision, RateLimiter
from serving.predictor import Answer, Predictor
from serving.protocol import InferRequest, compress, decode_body
from serving.protocol_v1 import parse_predict, predict_reply
from serving.protocol_v2 import infer_reply, parse_infer
from serving.request_ids import request_ids
from serving.settings import Settings
from serving.status_pages import StatusPages
from serving.telemetry import Steps

logger = logging.getLogger(__name__)

Handler = Callable[[Exchange], Awaitable[Reply]]

_VERSIONED: Final = re.compile(r"(?P<model>/v2/models/[^/]+)/versions/(?P<version>[^/]+)(?P<action>/ready|/infer|)")
_MODEL: Final = re.compile(r"/v[12]/models/(?P<name>[^/:]+)")
_OCTETS: Final = b"application/octet-stream"
_CLIENT_LEFT_STATUS: Final = 499
"""What the metrics call a request without a reply (nginx's number)."""


@dataclass(frozen=True, slots=True)
class Route:
    """One path: its handlers by method, and whether its requests count towards the rate limit."""

    handlers: Mapping[str, Handler]
    limited: bool = True
    protocol: str = "other"

    def handler(self, method: str, path: str) -> Handler:
        """Return the method's handler; HEAD is served as GET. Raises MethodNotAllowed."""
        found = self.handlers.get("GET" if method == "HEAD" else method)
        if found is None:
            allowed = ", ".join(self.handlers)
            raise MethodNotAllowed(f"{path}: found method {method}; expected {allowed}", allowed=allowed)
        return found


class Routes:
    """The application. Belongs to the event loop it is called on."""

    def __init__(self, predictor: Predictor, limiter: RateLimiter, settings: Settings, kserve_app: App) -> None:
        """`kserve_app` answers `/metrics` and everything that is not HTTP."""
        self._predictor = predictor
        self._limiter = limiter
        self._settings = settings
        self._kserve_app = kserve_app
        self._identity = Identity(settings.trusted_proxies)
        self._request_ids = request_ids()
        self._unknown = Route({})
        self._paths = self._routes(StatusPages(predictor, settings))

    def _routes(self, pages: StatusPages) -> dict[str, Route]:
        own = f"models/{self._settings.model_name}"
        return {
            f"/v2/{own}/infer": Route({"POST": self._infer}, protocol="v2"),
            f"/v1/{own}:predict": Route({"POST": self._predict}, protocol="v1"),
            f"/v1/{own}/feedback": Route({"POST": self._feedback}, protocol="v1"),
            f"/v2/{own}": Route({"GET": pages.model_metadata}, protocol="v2"),
            f"/v2/{own}/ready": Route({"GET": pages.model_ready}, limited=False, protocol="v2"),
            f"/v1/{own}": Route({"GET": pages.model_ready}, limited=False, protocol="v1"),
            "/v2/health/live": Route({"GET": pages.live}, limited=False, protocol="v2"),
            "/v2/health/ready": Route({"GET": pages.ready}, limited=False, protocol="v2"),
            "/": Route({"GET": pages.root}, limited=False, protocol="v1"),
            "/metrics": Route({"GET": self._no_such_route}, limited=False),
            "/v2": Route({"GET": pages.server_metadata}, protocol="v2"),
            "/v1/models": Route({"GET": pages.list_models}, protocol="v1"),
            "/v2/models": Route({"GET": pages.list_models}, protocol="v2"),
            "/v2/repository/index": Route({"GET": pages.index, "POST": pages.index}, protocol="v2"),
            "/openapi.json": Route({"GET": pages.openapi}),
            "/docs": Route({"GET": pages.docs}),
        }

    def _find(self, path: str) -> tuple[Route, str | None]:
        route = self._paths.get(path)
        if route is not None:
            return route, None
        match = _VERSIONED.fullmatch(path)
        if match is not None:
            return self._paths.get(match["model"] + match["action"], self._unknown), match["version"]
        return self._paths.get(path.rstrip("/"), self._unknown), None

    async def _no_such_route(self, exchange: Exchange) -> Reply:
        path, known = exchange.scope["path"], self._settings.model_name
        match = _MODEL.match(path)
        if match is not None and match["name"] != known:
            raise NotFound(f"model {match['name']!r}: not known here; known is {known!r}")
        raise NotFound(f"{path}: no such route; GET /docs lists the routes")

    # -- one request -------------------------------------------------------------------------------------------

    def owns(self, scope: Scope) -> bool:
        """Tell whether `answer` is for this request; the rest is KServe's application's."""
        return scope["type"] == "http" and not (scope["path"] == "/metrics" and scope["method"] == "GET")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request as an ASGI application does."""
        if not self.owns(scope):
            await self._kserve_app(scope, receive, send)
            return
        reply = await self.answer(scope, receive)
        await send({"type": "http.response.start", "status": reply.status, "headers": reply.headers})
        await send({"type": "http.response.body", "body": reply.body})

    async def answer(self, scope: Scope, receive: Receive, *, whole: bool = False) -> Reply:
        """Return one request's reply; cancelled, or raising ClientLeft, where the client left before it.

        `whole` tells that the body is there: nothing of it has to be waited for.
        """
        path = scope["path"]
        deadline = asyncio.get_running_loop().time() + self._settings.request_timeout_seconds
        exchange = Exchange(scope, receive, next(self._request_ids), deadline, whole)
        route, exchange.version = self._find(path)
        decision: Decision | None = None
        try:
            if route.limited:
                decision = await self._allowance(exchange)
                if decision is not None and not decision.allowed:
                    raise refusal(decision)
            handler = self._no_such_route if route is self._unknown else route.handler(scope["method"], path)
            reply = await handler(exchange)
        except ServingError as error:
            reply = error_reply(error)
        except (ClientLeft, asyncio.CancelledError):
            self._count(route.protocol, _CLIENT_LEFT_STATUS, exchange.model_version)
            raise
        except Exception:  # a defect of ours must not take the connection down
            logger.exception("request %s failed", exchange.request_id)
            reply = json_reply({"error": f"internal error; see the server's log, {exchange.request_id}"}, 500)
        self._count(route.protocol, reply.status, exchange.model_version)
        headers = self._headers(reply, exchange.request_id, decision)
        return Reply(reply.status, reply.body, reply.content_type, headers)

    async def _allowance(self, exchange: Exchange) -> Decision | None:
        client = exchange.scope.get("client")
        peer = client[0] if client else "unknown"
        user_id, forwarded = exchange.text(b"x-user-id"), exchange.text(b"x-forwarded-for")
        exchange.user = self._identity.user(peer, user_id, forwarded)
        return await self._limiter.hit(exchange.user)

    def _headers(self, reply: Reply, request_id: str, decision: Decision | None) -> Headers:
        headers = [
            (b"content-type", reply.content_type),
            (b"content-length", b"%d" % len(reply.body)),
            (b"x-request-id", request_id.encode()),
            *reply.headers,
        ]
        if decision is not None:
            headers += allowance(decision)
        if self._predictor.draining:
            headers.append(CLOSE)
        return headers

    def _count(self, protocol: str, status: int, version: str) -> None:
        metrics.REQUESTS.series(protocol, str(status), version).inc()

    # -- predictions -------------------------------------------------------------------------------------------

    async def _infer(self, exchange: Exchange) -> Reply:
        body = await self._body(exchange)
        header_length = exchange.headers.get(b"inference-header-content-length")
        started = time.perf_counter()
        request = parse_infer(body, header_length, self._settings.max_texts)
        answer, parsed, scored = await self._score(exchange, request)
        version = answer.model.version
        about = (self._predictor.name, version, exchange.request_id)
        content, head = infer_reply(*about, request, answer.verdicts, answer.truncated)
        if head is None:
            reply = self._success(exchange, answer, content)
        else:
            size = (b"inference-header-content-length", b"%d" % head)
            reply = self._success(exchange, answer, content, _OCTETS, size)
        self._answered(exchange, "v2", request, answer, (started, parsed, scored))
        return reply

    async def _predict(self, exchange: Exchange) -> Reply:
        body = await self._body(exchange)
        started = time.perf_counter()
        request = parse_predict(body, self._settings.max_texts)
        answer, parsed, scored = await self._score(exchange, request)
        reply = self._success(exchange, answer, predict_reply(answer.verdicts))
        self._answered(exchange, "v1", request, answer, (started, parsed, scored))
        return reply

    async def _feedback(self, exchange: Exchange) -> Reply:
        record = self._predictor.feedback(await self._body(exchange))
        return json_reply({"request_id": record.request_id, "item": record.item, "label": record.label}, 202)

    async def _body(self, exchange: Exchange) -> bytes:
        limit = self._settings.max_body_bytes
        body = await exchange.body(limit)
        encoding = exchange.headers.get(b"content-encoding")
        return body if encoding is None else decode_body(body, encoding, limit)

    async def _score(self, exchange: Exchange, request: InferRequest) -> tuple[Answer, float, float]:
        """Return the answer, and the clock before and after it."""
        parsed = time.perf_counter()
        model = self._predictor.model(exchange.version)
        exchange.model_version = model.version
        answer = self._predictor.recall(model, request.texts)
        if answer is None:
            answer = await self._predictor.score(model, request.texts, exchange.deadline)
        return answer, parsed, time.perf_counter()

    def _success(
        self, exchange: Exchange, answer: Answer, body: bytes, kind: bytes = b"", *more: tuple[bytes, bytes]
    ) -> Reply:
        headers = [(b"x-model-version", answer.model.version.encode()), *more]
        if answer.truncated:
            headers.append((b"x-truncated-texts", b"%d" % answer.truncated))
        body, encoding = compress(body, exchange.headers.get(b"accept-encoding"))
        if encoding is not None:
            headers.append((b"content-encoding", encoding))
        return Reply(200, body, kind or b"application/json", headers)

    def _answered(
        self,
        exchange: Exchange,
        protocol: str,
        request: InferRequest,
        answer: Answer,
        clock: tuple[float, float, float],
    ) -> None:
        started, parsed, scored = clock
        replied = time.perf_counter()
        steps = Steps(parsed - started, scored - parsed, replied - scored)
        self._predictor.answered(answer, request.texts, exchange.request_id, protocol, exchange.user, steps)
