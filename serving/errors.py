"""Every way a request can fail, with its HTTP status and gRPC code.

ServingError
├── RequestError            the client sent something wrong
│   ├── Unauthorised        no API key, or an unknown one
│   ├── NotFound            unknown route, model or version
│   ├── MethodNotAllowed
│   ├── TooLarge            a body, batch or text exceeds its limit
│   ├── UnsupportedEncoding unknown Content-Encoding
│   └── RateLimited         the user has used up the allowance
├── NotReady                no usable model yet
├── Overloaded              the queue is full
├── DeadlineExceeded
└── EngineFailed            inference failed: a fault of the server
"""

from __future__ import annotations

import math
from typing import ClassVar, Final

_MAX_MESSAGE_CHARS: Final = 2000
"""A longer message is cut, so that a reply to a bad request stays small and gRPC delivers it in its trailers."""


class ServingError(Exception):
    """The base class: `status` is the HTTP status code, `grpc_code` the name of the gRPC status code."""

    status: ClassVar[int] = 500
    grpc_code: ClassVar[str] = "INTERNAL"

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        """Take a message that says what failed, where, and what would be right.

        `retry_after` is in seconds; give it where waiting helps.
        """
        super().__init__(message)
        self.message = message[:_MAX_MESSAGE_CHARS]
        self.retry_after = retry_after

    @property
    def public_message(self) -> str:
        """What the client sees; the log has `logged_message`."""
        return self.message

    @property
    def logged_message(self) -> str:
        """What the log has: a fault of the server also names the type of the exception that caused it."""
        if self.__cause__ is None or self.status < 500:
            return self.message
        return f"{self.message} ({type(self.__cause__).__name__})"

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """The HTTP headers that belong to the error: Retry-After in whole seconds, at least one (RFC 9110)."""
        if self.retry_after is None:
            return []
        return [(b"retry-after", b"%d" % max(1, math.ceil(self.retry_after)))]


class RequestError(ServingError):
    """The request is malformed."""

    status = 400
    grpc_code = "INVALID_ARGUMENT"


class Unauthorised(RequestError):
    """The request has no API key, or one that the server does not know."""

    status = 401
    grpc_code = "UNAUTHENTICATED"

    def __init__(self, message: str, *, sent: bool) -> None:
        """`sent` states that the request has a key, which is not valid (RFC 6750, 3.1)."""
        super().__init__(message)
        self.sent = sent

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """The WWW-Authenticate header, which RFC 9110 requires with status 401."""
        problem = b', error="invalid_token"' if self.sent else b""
        return [(b"www-authenticate", b'Bearer realm="review-sentiment"' + problem)]


class NotFound(RequestError):
    """The route, model or version does not exist; the message names the known ones."""

    status = 404
    grpc_code = "NOT_FOUND"


class MethodNotAllowed(RequestError):
    """The route exists, but not with this method."""

    status = 405
    grpc_code = "UNIMPLEMENTED"

    def __init__(self, message: str, *, allowed: str) -> None:
        """Take the value of the Allow header, which RFC 9110 requires with status 405."""
        super().__init__(message)
        self.allowed = allowed

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """The Allow header with the methods of the route."""
        return [(b"allow", self.allowed.encode())]


class TooLarge(RequestError):
    """The body, the batch or one text exceeds its limit. The client must send less; waiting does not help."""

    status = 413
    grpc_code = "RESOURCE_EXHAUSTED"


class UnsupportedEncoding(RequestError):
    """The server does not support the Content-Encoding of the body."""

    status = 415
    grpc_code = "INVALID_ARGUMENT"


class RateLimited(RequestError):
    """The user has used up the allowance of this window."""

    status = 429
    grpc_code = "RESOURCE_EXHAUSTED"


class NotReady(ServingError):
    """No usable model is loaded, or the server is shutting down."""

    status = 503
    grpc_code = "UNAVAILABLE"


class Overloaded(ServingError):
    """The queue is full: accepting more would only make every request wait longer."""

    status = 503
    grpc_code = "UNAVAILABLE"


class DeadlineExceeded(ServingError):
    """The request's deadline passed before the answer was ready."""

    status = 504
    grpc_code = "DEADLINE_EXCEEDED"

    def __init__(self) -> None:
        super().__init__("the deadline passed before the answer was ready")


class EngineFailed(ServingError):
    """Inference failed for a reason that the client did not cause. The message may hold details of an exception."""

    status = 500
    grpc_code = "INTERNAL"

    @property
    def public_message(self) -> str:
        """The failure without its details, which could hold paths or texts of others."""
        return "inference failed; the server's log has the details under the request id"
