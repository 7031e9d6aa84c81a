"""One HTTP request as the routes see it, its body read within bounds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, NamedTuple

import orjson

from serving.errors import DeadlineExceeded, ServingError, TooLarge

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

JSON: Final = b"application/json"
CLOSE: Final = (b"connection", b"close")
"""The header of a connection's last reply."""


class ClientLeft(Exception):
    """The client closed the connection before its request was whole: there is nobody to reply to."""


class Reply(NamedTuple):
    """A complete HTTP reply."""

    status: int
    body: bytes
    content_type: bytes = JSON
    headers: Headers = []  # noqa: RUF012  # never changed, only joined


def json_reply(content: Any, status: int = 200) -> Reply:
    """Return a JSON reply."""
    return Reply(status, orjson.dumps(content))


def error_reply(error: ServingError) -> Reply:
    """Return the reply of a failed request: `{"error": "…"}`."""
    return Reply(error.status, orjson.dumps({"error": error.message}), JSON, error.headers)


class Exchange:
    """One request on its way through the routes."""

    __slots__ = ("deadline", "headers", "model_version", "receive", "request_id", "scope", "user", "version", "whole")

    def __init__(self, scope: Scope, receive: Receive, request_id: str, deadline: float, whole: bool) -> None:
        self.scope = scope
        self.receive = receive
        self.request_id = request_id
        self.deadline = deadline
        """Of the reply, in the event loop's time."""
        self.whole = whole
        """Whether the body is already there."""
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        """Of a repeated header the last one."""
        self.version: str | None = None
        """The model version in the path."""
        self.user = ""
        self.model_version = ""
        """The version that answered, once one has."""

    def text(self, name: bytes) -> str | None:
        """Return a header's value as text."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")

    async def body(self, limit: int) -> bytes:
        """Return the request body.

        Raises TooLarge past `limit` bytes, DeadlineExceeded when it takes too long, ClientLeft when it never ends.
        """
        length = self.headers.get(b"content-length", b"")
        if length.isdigit() and int(length) > limit:
            raise TooLarge(f"body: found {int(length)} bytes; send at most {limit}")
        if self.whole:
            return await self._read(limit)
        try:
            async with asyncio.timeout_at(self.deadline):
                return await self._read(limit)
        except TimeoutError as error:
            raise DeadlineExceeded from error

    async def _read(self, limit: int) -> bytes:
        message = await self._next()
        body: bytes = message.get("body", b"")
        if not message.get("more_body") and len(body) <= limit:
            return body
        parts, size = [body], len(body)
        while message.get("more_body"):
            message = await self._next()
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > limit:
                break
        if size > limit:
            raise TooLarge(f"body: found more than {limit} bytes; send at most {limit}")
        return b"".join(parts)

    async def _next(self) -> Message:
        message = await self.receive()
        if message["type"] == "http.disconnect":
            raise ClientLeft
        return message
