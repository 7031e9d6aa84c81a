"""The limiter's decision as reply headers and as an error."""

from __future__ import annotations

import math

from serving.errors import RateLimited
from serving.state.rate_limiter import Decision


def rate_limit_headers(decision: Decision) -> tuple[tuple[bytes, bytes], ...]:
    """Return the RateLimit fields of a reply (draft-ietf-httpapi-ratelimit-headers-06).

    Example: `rate_limit_headers(Decision(True, 100, 99, 60.0))[1]` is `(b"ratelimit-remaining", b"99")`.
    """
    return (
        (b"ratelimit-limit", b"%d" % decision.limit),
        (b"ratelimit-remaining", b"%d" % decision.remaining),
        (b"ratelimit-reset", b"%d" % math.ceil(decision.reset_seconds)),
    )


def require_allowed(decision: Decision | None) -> None:
    """Raise RateLimited if the limiter refused the request; None means that requests are not limited."""
    if decision is None or decision.allowed:
        return
    wait = math.ceil(decision.reset_seconds)
    raise RateLimited(
        f"rate limit: all {decision.limit} requests of this window are used up; send the next one in {wait} s",
        retry_after=wait,
    )
