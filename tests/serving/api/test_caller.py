"""The user of a request is found such that no client can use another one's allowance or get a fresh one."""

from __future__ import annotations

import pytest

from serving.api.caller import Identity
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
        ("::ffff:9.9.9.9", None, None, "address:9.9.9.9"),
        ("127.0.0.1", None, "9.9.9.9, not-an-address", "address:127.0.0.1"),
        ("127.0.0.1", None, "9.9.9.9:5000", "address:9.9.9.9"),
        ("127.0.0.1", None, "[2001:db8:1:2::3]:5000", "address:2001:db8:1:2::/64"),
        ("2001:db8:1:2::3", None, None, "address:2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff:ffff:ffff:ffff", None, None, "address:2001:db8:1:2::/64"),
        ("2001:db8:1:3::3", None, None, "address:2001:db8:1:3::/64"),
        ("::1", None, None, "address:::1"),
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


def test_a_long_user_id_is_bounded_and_stays_distinct() -> None:
    identity = Identity(parse_networks("loopback"))
    first, second = (identity.user("127.0.0.1", "x" * 60_000 + end, None) for end in "ab")
    assert first != second
    assert len(first) < 100


def test_proxies_may_be_pod_networks_and_single_gateways() -> None:
    identity = Identity(parse_networks("10.244.0.0/16, 192.0.2.7, fd00::/8"))
    for proxy in ("10.244.3.9", "192.0.2.7", "fd00::12"):
        assert identity.user(proxy, "ann", None) == "user:ann"
    assert identity.user("192.0.2.8", "ann", None) == "address:192.0.2.8"
