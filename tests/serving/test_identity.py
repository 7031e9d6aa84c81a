"""Whose request it is: nobody chooses another's allowance."""

from __future__ import annotations

import pytest

from serving.identity import Identity
from serving.settings import parse_networks


@pytest.mark.parametrize(
    ("peer", "user_id", "forwarded", "user"),
    [
        ("127.0.0.1", None, None, "address:127.0.0.1"),
        ("127.0.0.1", "ann", "9.9.9.9", "user:ann"),
        ("127.0.0.1", None, "9.9.9.9", "address:9.9.9.9"),
        ("127.0.0.1", None, "spoofed, 9.9.9.9", "address:9.9.9.9"),
        ("127.0.0.1", None, "1.1.1.1, 9.9.9.9, 10.1.1.1", "address:9.9.9.9"),
        ("127.0.0.1", None, "10.1.1.1, ,", "address:127.0.0.1"),
        ("::1", "ann", None, "user:ann"),
        ("::ffff:10.2.3.4", "ann", None, "user:ann"),
        ("9.9.9.9", "ann", "1.1.1.1", "address:9.9.9.9"),
        ("unknown", "ann", None, "address:unknown"),
    ],
)
def test_user(peer: str, user_id: str | None, forwarded: str | None, user: str) -> None:
    identity = Identity(parse_networks("loopback, 10.0.0.0/8"))
    assert identity.user(peer, user_id, forwarded) == user


def test_nobody_is_trusted_with_none() -> None:
    assert Identity(parse_networks("none")).user("127.0.0.1", "ann", None) == "address:127.0.0.1"


def test_a_user_cannot_be_taken_for_an_address() -> None:
    identity = Identity(parse_networks("loopback"))
    assert identity.user("127.0.0.1", "9.9.9.9", None) != identity.user("127.0.0.1", None, "9.9.9.9")
