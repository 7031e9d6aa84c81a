"""CloudEvents over V1 as KServe has them: a predict request inside an event is answered by an event.

In the binary mode the attributes are `ce-*` headers and the body is the V1 request. In the structured mode
(`application/cloudevents+json`) the body is an object of the attributes and of `data`, the V1 request.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from serving.errors import RequestError
from serving.protocol.common import InferRequest, Prediction, kind, max_values, parse_object, quoted
from serving.protocol.v1 import predict_reply, request_of

MEDIA_TYPE: Final = b"application/cloudevents+json"
REQUIRED: Final = ("specversion", "id", "source", "type")
_VERSIONS: Final = ("1.0", "0.3")
_PREFIX: Final = b"ce-"
_REQUIRED_HEADERS: Final = tuple(_PREFIX + name.encode() for name in REQUIRED)
_REPLACED: Final = ("id", "time", "type", "source", "data")
"""What a reply has of its own, never from its request."""

Attributes = Mapping[str, Any]
"""The attributes of an event by name, without `data`."""


def is_structured(headers: Mapping[bytes, bytes]) -> bool:
    """Return whether the body of a request is a whole event."""
    content_type = headers.get(b"content-type")
    if content_type is None or content_type == b"application/json":
        return False
    return content_type.partition(b";")[0].strip().lower() == MEDIA_TYPE


def binary_attributes(headers: Mapping[bytes, bytes]) -> Attributes | None:
    """Return the attributes in the headers; None if one that every event has is missing, as it is not an event then.

    Raises RequestError for an unknown version of the format.
    """
    # Nearly every request lacks the first one, and a generator costs as much as the rest of this function.
    if _REQUIRED_HEADERS[0] not in headers or not all(name in headers for name in _REQUIRED_HEADERS):
        return None
    found = {
        name.removeprefix(_PREFIX).decode("latin-1"): value.decode("latin-1")
        for name, value in headers.items()
        if name.startswith(_PREFIX)
    }
    _check_version(found["specversion"], "header ce-specversion")
    return found


def parse_event(body: bytes, header_length: bytes | None, max_texts: int) -> InferRequest:  # noqa: ARG001
    """Return the predict request in a structured event, with the event's attributes. Raises RequestError or TooLarge.

    Example: `parse_event(b'{"specversion": "1.0", "id": "1", "source": "shop", "type": "review", "data": {…}}', …)`.
    """
    content = parse_object(body, max_values(max_texts))
    for name in REQUIRED:
        if not isinstance(content.get(name), str) or not content[name]:
            found = kind(content[name]) if name in content else "no such member"
            raise RequestError(f"{name}: found {found}; every event needs a string that is not empty")
    _check_version(content["specversion"], "specversion")
    data = content.pop("data", None)
    if not isinstance(data, dict):
        raise RequestError(f'data: found {kind(data)}; expected a V1 request such as {{"instances": ["…"]}}')
    request = request_of(data, max_texts)
    request.event = content
    return request


def event_reply(prediction: Prediction, request: InferRequest, request_id: str) -> tuple[bytes, Attributes]:
    """Return the body of the predict reply, and the attributes of the event that the request came in."""
    return predict_reply(prediction, request, request_id), request.event or {}


def _check_version(found: str, where: str) -> None:
    if found not in _VERSIONS:
        raise RequestError(f"{where}: found {quoted(found)}; expected one of {', '.join(_VERSIONS)}")


@dataclass(frozen=True)
class EventReplies:
    """How replies become events.

    Example: `EventReplies("type", "source", merge=False).headers({}, "0f4e")` are the headers of a binary event.
    """

    type: str
    """The attribute `type`."""
    source: str
    """The attribute `source`."""
    merge: bool
    """Whether a reply repeats the attributes of its request."""

    def headers(self, request: Attributes, request_id: str) -> tuple[tuple[bytes, bytes], ...]:
        """Return the headers of a reply in the binary mode; `request` has the attributes of the request."""
        attributes = self._attributes(request, request_id)
        attributes.pop("datacontenttype", None)  # In this mode it is the header Content-Type.
        return tuple((f"ce-{name}".encode("latin-1"), value.encode("latin-1")) for name, value in attributes.items())

    def body(self, request: Attributes, request_id: str, reply: bytes) -> bytes:
        """Return the body of a reply in the structured mode; `reply` is the JSON of the V1 reply."""
        return orjson.dumps({**self._attributes(request, request_id), "data": orjson.Fragment(reply)})

    def _attributes(self, request: Attributes, request_id: str) -> dict[str, Any]:
        own = {
            "id": request_id,
            "source": self.source,
            "type": self.type,
            "time": datetime.now(UTC).isoformat(),
        }
        kept = {name: value for name, value in request.items() if self.merge and name not in _REPLACED}
        return {"specversion": "1.0"} | kept | own
