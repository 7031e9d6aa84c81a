"""Every way a request can fail, and the one table of what each means over HTTP and gRPC.

ServingError
├── RequestError            what the client sent is wrong
│   ├── NotFound            unknown route, model or version
│   ├── MethodNotAllowed
│   ├── TooLarge            body, batch or text over its limit
│   ├── UnsupportedEncoding unknown Content-Encoding
│   └── RateLimited         the user's allowance is spent
├── NotReady                no usable model yet
├── Overloaded              the queue is full
├── DeadlineExceeded
└── EngineFailed            inference itself failed: our fault
"""

from __future__ import annotations

import math
from typing import ClassVar


class ServingError(Exception):
    """Base: `status` is the HTTP code, `grpc_code` the name of the gRPC one."""

    status: ClassVar[int] = 500
    grpc_code: ClassVar[str] = "INTERNAL"

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        """Say what failed, where, and what would be right; `retry_after` in seconds when waiting helps."""
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """HTTP headers that belong to the error: Retry-After in whole seconds, at least one (RFC 9110)."""
        if self.retry_after is None:
            return []
        return [(b"retry-after", b"%d" % max(1, math.ceil(self.retry_after)))]


class RequestError(ServingError):
    """The request is malformed."""

    status = 400
    grpc_code = "INVALID_ARGUMENT"


class NotFound(RequestError):
    """No such route, model or version; the message names the known ones."""

    status = 404
    grpc_code = "NOT_FOUND"


class MethodNotAllowed(RequestError):
    """The route exists under another method."""

    status = 405
    grpc_code = "UNIMPLEMENTED"

    def __init__(self, message: str, *, allowed: str) -> None:
        """`allowed` is the value of the Allow header, which RFC 9110 requires with 405."""
        super().__init__(message)
        self.allowed = allowed

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """Allow: the methods that the route has."""
        return [(b"allow", self.allowed.encode())]


class TooLarge(RequestError):
    """The body, the batch or one text is over its limit. Sending less helps, waiting does not."""

    status = 413
    grpc_code = "RESOURCE_EXHAUSTED"


class UnsupportedEncoding(RequestError):
    """The body is in a Content-Encoding that is not decoded here."""

    status = 415
    grpc_code = "INVALID_ARGUMENT"


class RateLimited(RequestError):
    """The user has spent the allowance of this window."""

    status = 429
    grpc_code = "RESOURCE_EXHAUSTED"


class NotReady(ServingError):
    """No usable model is loaded, or the server is on its way down."""

    status = 503
    grpc_code = "UNAVAILABLE"


class Overloaded(ServingError):
    """The queue is full: accepting more would only make everyone wait longer."""

    status = 503
    grpc_code = "UNAVAILABLE"


class DeadlineExceeded(ServingError):
    """The answer would have come after the request's deadline."""

    status = 504
    grpc_code = "DEADLINE_EXCEEDED"

    def __init__(self) -> None:
        super().__init__("the deadline passed before the answer was ready")


class EngineFailed(ServingError):
    """Inference failed for a reason that is not the client's."""

    status = 500
    grpc_code = "INTERNAL"
