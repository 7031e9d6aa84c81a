"""Who sent a request (`X-User-Id` from a trusted proxy, otherwise the client's address) and what is left to them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import ip_address

from serving.errors import RateLimited
from serving.limits import Decision
from serving.settings import Network


class Identity:
    """Tells users apart. What an untrusted peer says about itself is ignored."""

    def __init__(self, trusted: Sequence[Network]) -> None:
        """`trusted` are the networks of the proxies in front of the server."""
        self._trusted = tuple(trusted)
        self._is_trusted = lru_cache(maxsize=4096)(self._in_trusted)

    def user(self, peer: str, user_id: str | None, forwarded_for: str | None) -> str:
        """Return the user of a request that arrived from address `peer` with these two headers.

        Of `X-Forwarded-For` the last address that is no trusted proxy counts: those before it are hearsay.
        """
        if not self._is_trusted(peer):
            return f"address:{peer}"
        if user_id:
            return f"user:{user_id}"
        for hop in reversed(forwarded_for.split(",") if forwarded_for else ()):
            address = hop.strip()
            if address and not self._is_trusted(address):
                return f"address:{address}"
        return f"address:{peer}"

    def _in_trusted(self, host: str) -> bool:
        try:
            address = ip_address(host)
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None) or address
        return any(mapped in network for network in self._trusted)


def allowance(decision: Decision) -> list[tuple[bytes, bytes]]:
    """Return the RateLimit fields of a reply (draft-ietf-httpapi-ratelimit-headers-06)."""
    return [
        (b"ratelimit-limit", b"%d" % decision.limit),
        (b"ratelimit-remaining", b"%d" % decision.remaining),
        (b"ratelimit-reset", b"%d" % math.ceil(decision.reset_seconds)),
    ]


def refusal(decision: Decision) -> RateLimited:
    """Return the error of a user who has spent the allowance."""
    wait = math.ceil(decision.reset_seconds)
    return RateLimited(
        f"rate limit: all {decision.limit} requests of this window are spent; send the next in {wait} s",
        retry_after=wait,
    )
