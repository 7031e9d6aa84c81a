"""Which user sent a request: the name of the API key if the server asks for keys.

Otherwise it is `X-User-Id` from a trusted proxy, or the client's address.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from hashlib import blake2b
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final, NamedTuple

from serving.access.keys import ApiKeys
from serving.errors import Unauthorised
from serving.settings import Network, Settings

_WITH_PORT: Final = re.compile(r"\[(?P<v6>[^\]]+)\](?::\d+)?|(?P<v4>\d+\.\d+\.\d+\.\d+):\d+")
"""An address with a port, or an IPv6 address in brackets, as some proxies write them."""
_MAX_ADDRESS_CHARS: Final = 64
_MAX_USER_ID_CHARS: Final = 128
"""A longer user id is replaced by its digest, so that the limiter's memory stays bounded."""
_IPV6_CLIENT_BITS: Final = 64
"""One IPv6 client can use any address of its /64 network (RFC 6177), so the network identifies it."""


class _Host(NamedTuple):
    user: str | None
    """The user that this address identifies; None if the text is not an address."""
    trusted: bool


class Identity:
    """Identifies the user of a request. Headers from a peer that is not a trusted proxy are ignored."""

    def __init__(self, trusted: Sequence[Network]) -> None:
        """Take the networks of the proxies in front of the server."""
        self._trusted = tuple(trusted)
        self._host = lru_cache(maxsize=4096)(self._look_up)

    def user(self, peer: str, user_id: str | None, forwarded_for: str | None) -> str:
        """Return the user of a request that arrived from the address `peer` with these two headers.

        The right-most address of `X-Forwarded-For` that is not a trusted proxy identifies the client, because the
        client can forge the earlier ones.

        Example: `Identity(parse_networks("loopback")).user("127.0.0.1", None, "9.9.9.9")` is `"address:9.9.9.9"`.
        """
        host = self._host(peer)
        if host.trusted:
            if user_id:
                return f"user:{user_id if len(user_id) <= _MAX_USER_ID_CHARS else _digest(user_id)}"
            host = self._client(forwarded_for, host) if forwarded_for else host
        return host.user or f"address:{peer}"

    def _client(self, forwarded_for: str, peer: _Host) -> _Host:
        """Return the right-most untrusted hop; the peer if there is none, or if that hop is not an address."""
        for hop in reversed(forwarded_for.split(",")):
            text = hop.strip()
            if not text:
                continue
            host = self._host(text) if len(text) <= _MAX_ADDRESS_CHARS else _Host(None, trusted=False)
            if not host.trusted:
                return peer if host.user is None else host
        return peer

    def _look_up(self, text: str) -> _Host:
        address = _address(text)
        if address is None:
            return _Host(None, trusted=False)
        return _Host(f"address:{_client_of(address)}", any(address in network for network in self._trusted))


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """Return the address in `text`; an IPv4 address that is written as IPv6 becomes IPv4."""
    match = _WITH_PORT.fullmatch(text)
    try:
        address = ip_address(text if match is None else match["v6"] or match["v4"])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _client_of(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address | IPv6Network:
    if isinstance(address, IPv4Address) or address.is_loopback:
        return address
    return IPv6Network((int(address), _IPV6_CLIENT_BITS), strict=False)


def _digest(user_id: str) -> str:
    return blake2b(user_id.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


class Caller(NamedTuple):
    """Who sent a request."""

    user: str
    """The user whose allowance the request counts towards."""
    rate_limit: str | None = None
    """The user's own allowance; None for RATE_LIMIT."""


class Callers:
    """Identifies the sender of each request, and refuses requests without a valid API key if the server asks for one.

    Example: `Callers(settings).identify("127.0.0.1", {b"x-user-id": "anna"}.get).user` is `"user:anna"`.
    """

    def __init__(self, settings: Settings) -> None:
        """Read the API keys, if there are any. Raises KeyFileError."""
        self._identity = Identity(settings.trusted_proxies)
        self._keys = None if settings.api_keys_file is None else ApiKeys(settings.api_keys_file)

    def identify(self, peer: str, header: Callable[[bytes], str | None]) -> Caller:
        """Return the sender of a request from the address `peer`; `header` returns a header by its lower-case name.

        Raises Unauthorised.
        """
        if self._keys is None:
            return Caller(self._identity.user(peer, header(b"x-user-id"), header(b"x-forwarded-for")))
        sent = header(b"x-api-key") or _bearer(header(b"authorization"))
        if sent is None:
            raise Unauthorised(
                "API key: found none; send it in the header X-API-Key, or as Authorization: Bearer KEY", sent=False
            )
        key = self._keys.find(sent)
        if key is None:
            raise Unauthorised("API key: the server does not know the key that was sent; ask for a new one", sent=True)
        return Caller(f"key:{key.name}", key.rate_limit)


def _bearer(authorization: str | None) -> str | None:
    """Return the token of an Authorization header of the scheme Bearer, None for any other header."""
    scheme, _, token = (authorization or "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None
