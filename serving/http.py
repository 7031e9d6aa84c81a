"""uvicorn's HTTP protocol with a shorter way for the routes' replies, and errors in the one error format.

uvicorn parses and keeps connections alive. A reply of the routes is complete when it is made, so its head and
body are written at once: through ASGI's messages the same bytes cost as much again as looking up a cached
answer. A request whose client leaves is cancelled from here, so that none needs a second task to watch its
client.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from serving.exchange import CLOSE, Receive, Reply, Scope
from serving.routes import Routes

logger = logging.getLogger(__name__)

_FIRST_REQUEST_SECONDS: Final = 1.0
"""How long a new connection is kept open for its first request after the listener has closed."""


class HttpProtocol(HttpToolsProtocol):
    """One connection; its application is `Routes`."""

    _answering: asyncio.Task[None] | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the request that nobody waits for any more."""
        super().connection_lost(exc)
        if self._answering is not None:
            self._answering.cancel()

    def send_400_response(self, msg: str) -> None:
        """Answer bytes that are no HTTP request."""
        body = b'{"error": "malformed HTTP request; expected HTTP/1.1"}'
        head = b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: %d\r\n" % len(body)
        self.transport.write(head + b"connection: close\r\n\r\n" + body)
        self.transport.close()
        logger.debug("refused a connection: %s", msg)

    def shutdown(self) -> None:
        """Close the connection once it is idle; one that is new may have its first request on its way in."""
        if cast("RequestResponseCycle | None", self.cycle) is None:
            self.loop.call_later(_FIRST_REQUEST_SECONDS, super().shutdown)
        else:
            super().shutdown()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        if not (isinstance(app, Routes) and app.owns(cast("Scope", cycle.scope))):
            super()._start_asgi_task(cycle, app)
            return
        self._answering = task = self.loop.create_task(_answer(cycle, app))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)


async def _answer(cycle: RequestResponseCycle, routes: Routes) -> None:
    try:
        scope, receive = cast("Scope", cycle.scope), cast("Receive", cycle.receive)
        reply = await routes.answer(scope, receive, whole=not cycle.more_body)
        if cycle.flow.write_paused:
            await cycle.flow.drain()
        if not cycle.disconnected:
            _send(cycle, reply)
    except Exception:  # a defect of ours must not leave the client waiting
        logger.exception("a connection is closed without an answer")
        cycle.transport.close()


def _send(cycle: RequestResponseCycle, reply: Reply) -> None:
    """Write the reply and bring uvicorn's books up to date."""
    if CLOSE in reply.headers:
        cycle.keep_alive = False
    elif not cycle.keep_alive:
        reply.headers.append(CLOSE)
    cycle.response_started = cycle.response_complete = True
    cycle.transport.write(_message(cycle, reply))
    cycle.message_event.set()
    if not cycle.keep_alive:
        cycle.transport.close()
    cycle.on_response()


def _message(cycle: RequestResponseCycle, reply: Reply) -> bytes:
    parts = [STATUS_LINE[reply.status]]
    parts += [b"%b: %b\r\n" % header for header in cycle.default_headers]
    parts += [b"%b: %b\r\n" % header for header in reply.headers]
    parts.append(b"\r\n")
    if cycle.scope["method"] != "HEAD":
        parts.append(reply.body)
    return b"".join(parts)
