"""Writes complete replies to uvicorn's connections, past its ASGI messages."""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from serving.api.request import CLOSE, Reply


def take_body(cycle: RequestResponseCycle) -> bytes:
    """Return the complete body of a request, as awaiting its `receive` would do more slowly."""
    body, cycle.body = bytes(cycle.body), bytearray()
    cycle.flow.resume_reading()
    return body


def send_reply(cycle: RequestResponseCycle, reply: Reply) -> None:
    """Write the reply and update uvicorn's state of the connection."""
    if CLOSE in reply.headers:
        cycle.keep_alive = False
    elif not cycle.keep_alive:
        reply = reply._replace(headers=(*reply.headers, CLOSE))
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
