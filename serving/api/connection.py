"""uvicorn's HTTP protocol, changed to write the routes' replies directly and to report errors as JSON.

uvicorn parses requests and keeps connections alive. A reply of the routes is complete when it is returned, so its
head and body are written at once: ASGI's messages would cost as much again as looking up a cached answer. When a
client closes its connection, this module cancels its request, so that no request needs a second task for that.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from itertools import islice
from typing import Any, Final, cast

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from serving.api.reply_writer import send_reply, take_body
from serving.api.request import Receive, Scope
from serving.api.routes import Routes
from serving.settings import Settings

logger = logging.getLogger(__name__)

_FIRST_REQUEST_SECONDS: Final = 1.0
"""A new connection stays open this long for its first request after the listener has closed."""
_CHECK_SECONDS: Final = 0.5
"""How often connections are checked for slow clients."""
_PIECE_BYTES: Final = 1024
_BODY_PIECE_BYTES: Final = 16 * 1024
"""How much is parsed at a time, and how much of a body. One read may bring 256 kB, which is 14,000 pipelined requests:
parsing them at once would take a tenth of a second, and they would take 40 MB."""
_MAX_HEAD_BYTES: Final = 64 * 1024
"""The most bytes of a request before, between and after the parts of its body. The parser itself has no limit."""
_CANDIDATES: Final = 64
"""How many connections are looked at for one that can be closed in favour of a new one."""
_SLOW_HEAD_SECONDS: Final = 1.0
"""A request whose headers take longer than this may be given up in favour of a new connection."""


class HttpProtocol(HttpToolsProtocol):
    """One connection whose application is `Routes`."""

    _request_task: asyncio.Task[None] | None = None
    _first_byte: float | None = None
    """When the first byte of the next request arrived, in the loop's time; None while there is none."""
    _unread: tuple[int, float] = (0, 0.0)
    """How many bytes of replies the client has not read, and since when that number has not changed."""
    _opened = 0.0
    _unparsed = b""
    """What has arrived and waits until the requests before it are answered."""
    _body_progress = False
    """Whether the last piece held a part of a body."""
    _idle_since: float | None = None
    """When the latest reply was written, in the loop's time, as long as nothing has arrived after it."""
    _head_bytes = 0
    """How many bytes have arrived since the last progress."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accept the connection, if necessary in place of an idle one; refuse it if none is idle."""
        super().connection_made(cast("asyncio.Transport", transport))
        self._opened = self.loop.time()
        if isinstance(self.app, Routes) and len(self.connections) > self.app.settings.max_connections:
            idle = self._least_useful()
            if idle is None:
                self._refuse(503, b"too many connections; try again later", b"retry-after: 1\r\n")
            else:
                idle.transport.close()

    def _least_useful(self) -> HttpProtocol | None:
        """Return a connection that can be closed; None if all that are looked at are in use.

        One that has sent no complete request is closed before one that has been answered and is idle.
        """
        now = self.loop.time()
        some = [other for other in islice(self.connections, _CANDIDATES) if other is not self]
        idle = [other for other in some if isinstance(other, HttpProtocol) and other.idle(now)]
        return min(idle, key=lambda other: other.cycle is not None, default=None)

    def data_received(self, data: bytes) -> None:
        """Take in bytes of requests."""
        if self._unparsed or self.pipeline or len(data) > _PIECE_BYTES:
            self._unparsed += data
            self._parse()
        else:
            self._parse_piece(data)

    def _parse(self) -> None:
        """Parse what has arrived, piece by piece, until a request must wait for its turn."""
        data, end = self._unparsed, 0
        self._unparsed = b""
        while end < len(data) and not self.pipeline and not self.transport.is_closing():
            size = _BODY_PIECE_BYTES if self.answering and self.cycle.more_body else _PIECE_BYTES
            self._parse_piece(data[end : end + size])
            end += size
        if end < len(data) and not self.transport.is_closing():
            self._unparsed = data[end:]
            self.flow.pause_reading()

    def _parse_piece(self, piece: bytes) -> None:
        cycle, self._idle_since, self._body_progress = self.cycle, None, False
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade:  # the request is answered over HTTP/1.1, as RFC 9110 allows
            pass
        except httptools.HttpParserError as error:
            self.send_400_response(str(error))
            return
        if self._first_byte is None and not self.answering:
            self._first_byte = self.loop.time()
        if self._body_progress or cycle is not self.cycle:
            self._head_bytes = 0
            return
        self._head_bytes += len(piece)
        if self._head_bytes > _MAX_HEAD_BYTES:
            self._refuse(431, b"headers: found more than %d bytes; send fewer" % _MAX_HEAD_BYTES)

    def on_body(self, body: bytes) -> None:
        """Take in a part of the body."""
        self._body_progress = True
        super().on_body(body)

    def on_response_complete(self) -> None:
        """Start the next request. Nothing more is read while requests that have arrived wait for their turn.

        Otherwise a client that sends faster than it is answered would fill the memory, and parsing its requests would
        take the time in which their replies could be written.
        """
        self._first_byte = None
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self._idle_since = self.loop.time()
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        if self.pipeline:
            self.flow.pause_reading()
        elif self._unparsed and not self.transport.is_closing():
            self._parse()

    @property
    def answering(self) -> bool:
        """Whether the headers of a request have arrived and its reply is not written yet."""
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.response_complete

    def close_if_slow(self, now: float, settings: Settings) -> None:
        """Close the connection if its client reads a reply, or sends headers or the next request, too slowly.

        `now` is the loop's time. uvicorn would set and cancel a timer for each request instead.
        """
        unread = self.transport.get_write_buffer_size()
        if unread != self._unread[0]:
            self._unread = (unread, now)
        if unread:
            if now - self._unread[1] > settings.write_timeout_seconds:
                self.transport.abort()
        elif not self.answering:
            since = self._opened if self._first_byte is None and self.cycle is None else self._first_byte
            slow = since is not None and now - since > settings.header_timeout_seconds
            early = self.cycle is not None and self.cycle.more_body  # the rest of the answered request is awaited
            longest = settings.header_timeout_seconds if early else settings.keep_alive_seconds
            if slow or (self._idle_since is not None and now - self._idle_since > longest):
                self.transport.close()

    def idle(self, now: float) -> bool:
        """Whether closing this connection interrupts no request, except one whose headers arrive slowly."""
        if self.answering or self.transport.get_write_buffer_size():
            return False
        return self._first_byte is None or now - self._first_byte > _SLOW_HEAD_SECONDS

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the request that is being answered, because its client has left."""
        super().connection_lost(exc)
        if self._request_task is not None:
            self._request_task.cancel()

    def send_400_response(self, msg: str) -> None:
        """Reply to bytes that are not an HTTP request."""
        logger.debug("refused a connection: %s", msg)
        self._refuse(400, b"malformed HTTP request; expected HTTP/1.1")

    def _refuse(self, status: int, error: bytes, header: bytes = b"") -> None:
        body = b'{"error": "%b"}' % error
        head = b"%bcontent-type: application/json\r\ncontent-length: %d\r\n" % (STATUS_LINE[status], len(body))
        self.transport.write(head + header + b"connection: close\r\n\r\n" + body)
        self.transport.close()

    def shutdown(self) -> None:
        """Close the connection once it is idle. A new one stays open a moment, as its first request may be arriving."""
        if cast("RequestResponseCycle | None", self.cycle) is None:
            self.loop.call_later(_FIRST_REQUEST_SECONDS, super().shutdown)
        else:
            super().shutdown()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        if not (isinstance(app, Routes) and app.owns(cast("Scope", cycle.scope))):
            super()._start_asgi_task(cycle, app)
            return
        self._request_task = task = self.loop.create_task(_answer(cycle, app))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)


async def close_slow_connections(connections: Collection[Any], settings: Settings) -> None:
    """Close every connection whose client is too slow, until the task is cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(_CHECK_SECONDS)
        for connection in tuple(connections):
            if isinstance(connection, HttpProtocol):
                connection.close_if_slow(loop.time(), settings)


async def _answer(cycle: RequestResponseCycle, routes: Routes) -> None:
    try:
        scope, receive = cast("Scope", cycle.scope), cast("Receive", cycle.receive)
        reply = await routes.answer(scope, receive, None if cycle.more_body else take_body(cycle))
        if cycle.flow.write_paused:
            await cycle.flow.drain()
        if not cycle.disconnected:
            send_reply(cycle, reply)
    except Exception:  # a defect of ours must not leave the client waiting
        logger.exception("a connection is closed without an answer")
        cycle.transport.close()
