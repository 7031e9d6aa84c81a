"""The errors of the HTTP API with an example each, and the headers of its replies."""

from __future__ import annotations

from typing import Any, Final

from serving.api.openapi.schemas import ref

_ERRORS: Final[dict[str, tuple[str, str]]] = {
    "400": ("The request is malformed.", 'inputs: found no such member; expected a list with the one input "text"'),
    "401": (
        "The server asks for an API key, and the request has none or an unknown one.",
        "API key: found none; send it in the header X-API-Key, or as Authorization: Bearer KEY",
    ),
    "404": ("The route, model or version is not known here.", "model 'other': not known here; known is 'sentiment'"),
    "405": ("The route has other methods.", "/v2: found method DELETE; expected GET"),
    "413": ("The body, the batch or a text is too large.", "body: found 20000000 bytes; send at most 16777216"),
    "415": (
        "The Content-Encoding is unknown.",
        "header Content-Encoding: found 'br'; known are gzip, deflate and identity",
    ),
    "429": (
        "The rate limit of this user is spent.",
        "rate limit: all 100 requests of this window are spent; send the next in 12 s",
    ),
    "503": (
        "No model is ready, or too much work is waiting.",
        "model 'sentiment': no model has been loaded yet; try again later",
    ),
    "504": ("The deadline has passed.", "the deadline passed before the answer was ready"),
}

_HEADERS: Final[dict[str, tuple[str, str]]] = {
    "X-Request-Id": ("string", "The server's own id of the request; feedback refers to it."),
    "X-Model-Version": ("string", "The model version that answered."),
    "Retry-After": ("integer", "Seconds to wait before the next attempt."),
    "Allow": ("string", "The methods of the route."),
    "WWW-Authenticate": ("string", "The scheme Bearer; a key may also be sent as X-API-Key."),
    "RateLimit-Limit": ("integer", "Requests of one window."),
    "RateLimit-Remaining": ("integer", "Requests that are left in this window."),
    "RateLimit-Reset": ("integer", "Seconds until requests are available again."),
}
_ERROR_HEADERS: Final = {
    "401": ("WWW-Authenticate",),
    "405": ("Allow",),
    "429": ("Retry-After",),
    "503": ("Retry-After",),
}


def _error(code: str) -> dict[str, Any]:
    description, message = _ERRORS[code]
    content = {"schema": ref("InferenceErrorResponse"), "example": {"error": message}}
    headers = {name: {"$ref": f"#/components/headers/{name}"} for name in _ERROR_HEADERS.get(code, ())}
    return {"description": description, "headers": headers, "content": {"application/json": content}}


ERROR_RESPONSES: Final = {code: _error(code) for code in _ERRORS}
"""The response of each error by its status."""
HEADERS: Final = {name: {"description": text, "schema": {"type": kind}} for name, (kind, text) in _HEADERS.items()}
"""Every header that a response refers to."""
