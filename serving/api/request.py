"""One HTTP request as the routes see it, with a body that is read within limits, and the reply to it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any, Final, NamedTuple

import orjson

from serving.errors import DeadlineExceeded, ServingError, TooLarge
from serving.handlers import Call
from serving.memory import BodyBudget
from serving.telemetry import tracing

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = tuple[tuple[bytes, bytes], ...]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

JSON: Final = b"application/json"
_SHORT_BODY_BYTES: Final = 4096
"""A body that is at most so long, and arrives at once, does not count towards the budget."""
_IDS_PER_CALL: Final = 256
"""How many request ids one call of the operating system provides."""
CLOSE: Final = (b"connection", b"close")
"""The header of the last reply on a connection."""


class ClientLeft(Exception):
    """The client closed the connection before its request was complete, so there is nobody to reply to."""


class Reply(NamedTuple):
    """A complete HTTP reply. Each part of the server that adds headers returns a new tuple of them."""

    status: int
    body: bytes
    content_type: bytes = JSON
    headers: Headers = ()


def request_ids() -> Iterator[str]:
    """Yield request ids, 32 hexadecimal digits each, without end. Only one thread may use the iterator.

    They are random, so that nobody can guess the id of another user's request and label it.
    """
    while True:
        digits = os.urandom(16 * _IDS_PER_CALL).hex()
        for start in range(0, len(digits), 32):
            yield digits[start : start + 32]


def json_reply(content: Any, status: int = 200) -> Reply:
    """Return a reply whose body is `content` as JSON."""
    return Reply(status, orjson.dumps(content))


def error_reply(error: ServingError) -> Reply:
    """Return the reply to a failed request: `{"error": "…"}`."""
    return Reply(error.status, orjson.dumps({"error": error.public_message}), JSON, tuple(error.headers))


class HttpRequest(Call):
    """One HTTP request."""

    __slots__ = ("arrived", "headers", "receive", "scope", "taken")

    def __init__(
        self, scope: Scope, receive: Receive, request_id: str, deadline: float, arrived: bytes | None = None
    ) -> None:
        """Take the ASGI `scope` and `receive`; `arrived` is the body if all of it is there already."""
        super().__init__(request_id, deadline)
        self.scope = scope
        self.receive = receive
        self.arrived = arrived
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        """The headers by lower-case name; of a repeated header the last value."""
        self.taken = 0
        """How many bytes the body has taken from the server's budget."""

    @property
    def client_id(self) -> str:
        """The X-Request-Id that the client sent; empty if it sent none."""
        return self.text(b"x-request-id") or ""

    def text(self, name: bytes) -> str | None:
        """Return a header's value as text, None if the request lacks the header."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")

    def short_body(self, limit: int) -> bytes | None:
        """Return the body if it has arrived, is short and is not encoded; `body` would return the same more slowly."""
        body = self.arrived
        if body is None or len(body) > min(limit, _SHORT_BODY_BYTES) or b"content-encoding" in self.headers:
            return None
        return body

    async def body(self, limit: int, budget: BodyBudget) -> bytes:
        """Return the request body, which may have at most `limit` bytes, and take its bytes from `budget`.

        Raises TooLarge for a longer body, Overloaded if the budget is used up, DeadlineExceeded if the body does not
        arrive in time and ClientLeft if the client closes the connection first.
        """
        length = self.headers.get(b"content-length", b"")
        if length.isdigit() and int(length) > limit:
            raise TooLarge(f"body: found {int(length)} bytes; send at most {limit}")
        if self.arrived is not None:
            return self._accept(self.arrived, limit, budget)
        try:
            async with asyncio.timeout_at(self.deadline):
                return await self._read(limit, budget)
        except TimeoutError as error:
            raise DeadlineExceeded from error

    def _accept(self, body: bytes, limit: int, budget: BodyBudget) -> bytes:
        if len(body) > limit:
            raise TooLarge(f"body: found more than {limit} bytes; send at most {limit}")
        if len(body) > _SHORT_BODY_BYTES:
            self.take(len(body), budget)
        return body

    def take(self, count: int, budget: BodyBudget) -> None:
        """Take bytes from the budget until the reply is made. Raises Overloaded if it is used up."""
        budget.take(count)
        self.taken += count

    async def _read(self, limit: int, budget: BodyBudget) -> bytes:
        message = await self._next()
        body: bytes = message.get("body", b"")
        if not message.get("more_body"):
            return self._accept(body, limit, budget)
        parts, size = [body], len(body)
        try:
            self.take(size, budget)
            while message.get("more_body"):
                message = await self._next()
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                self.take(len(parts[-1]), budget)
                if size > limit:
                    raise TooLarge(f"body: found more than {limit} bytes; send at most {limit}")
            return b"".join(parts)
        finally:
            # The traceback of an exception refers to this frame until the next full garbage collection.
            parts.clear()

    async def _next(self) -> Message:
        message = await self.receive()
        if message["type"] == "http.disconnect":
            raise ClientLeft
        return message


async def traced(request: HttpRequest, route: str, answer: Awaitable[Reply]) -> Reply:
    """Return the reply, and trace the request under the name of its method and route."""
    method = request.scope["method"]
    about = {"http.request.method": method, "sentiment.request_id": request.request_id}
    with tracing.request_span(f"{method} {route}", lambda name: request.text(name.encode()), about) as describe:
        reply = await answer
        error = "" if reply.status < 500 else f"status {reply.status}"
        describe({"http.response.status_code": reply.status, "sentiment.version": request.model_version}, error)
        return reply


async def head(app: App, request: HttpRequest) -> Reply:
    """Return the headers of a page that `app` serves to GET only, as the reply to a HEAD request."""
    messages: list[Message] = []

    async def send(message: Message) -> None:
        messages.append(message)

    await app({**request.scope, "method": "GET"}, request.receive, send)
    body = b"".join(message.get("body", b"") for message in messages)
    content_type = dict(messages[0]["headers"]).get(b"content-type", b"text/plain")
    return Reply(messages[0]["status"], body, content_type)
