"""One user's bulk requests leave room and time for those of another."""

from __future__ import annotations

import math
from typing import Any

import pytest

from serving.errors import Overloaded
from serving.inference.admission import Admission, Load, estimated_tokens
from serving.inference.jobs import BatchLimits, Sender
from serving.inference.queue import Ahead
from serving.settings import Settings

LIMITS = BatchLimits(texts=12, tokens=256)
TEXTS = ["word " * 20] * 100
"""A bulk request of 2,700 estimated tokens."""
NOTHING = Ahead(0, 0, 0)


def admission(**changes: Any) -> Admission:
    return Admission(Settings(**changes), LIMITS, threads=1)


def admit(accepted: Admission, user: str, deadline: float = math.inf, texts: list[str] = TEXTS) -> Load:
    return accepted.admit(texts, deadline, 0.0, NOTHING, Sender(user, "bulk"))


def fill(accepted: Admission, user: str) -> int:
    """Send bulk requests until one is refused; return how many were accepted."""
    for count in range(10_000):
        try:
            admit(accepted, user)
        except Overloaded:
            return count
    raise AssertionError("nothing was refused")


@pytest.mark.parametrize(
    "changes", [{"queue_tokens": 200_000}, {"queue_texts": 7_000}, {}], ids=["tokens", "texts", "requests"]
)
def test_a_user_who_sends_without_end_leaves_room_for_others(changes: dict[str, int]) -> None:
    accepted = admission(queue_tokens=10**9, queue_texts=10**9) if not changes else admission(**changes)
    first, second, third = (fill(accepted, user) for user in ("ann", "bob", "eve"))
    assert first > 4 * second > 0
    assert third > 0


def test_alone_a_user_may_fill_most_of_the_room() -> None:
    accepted = admission(queue_tokens=200_000)
    assert 0.75 < fill(accepted, "ann") * estimated_tokens(TEXTS) / (200_000 * 7 / 8) < 0.85


def test_many_requests_of_one_user_do_not_make_another_seem_late() -> None:
    accepted = admission()
    for _ in range(20):
        admit(accepted, "ann")
    tokens = estimated_tokens(TEXTS)
    accepted.measure(tokens, tokens * 1e-3, 0.0, Load(100, tokens, math.inf, True))
    alone = tokens * 1e-3
    with pytest.raises(Overloaded, match="would take about"):
        admit(accepted, "ann", deadline=4 * alone)
    admit(accepted, "bob", deadline=4 * alone)


def test_a_large_online_request_that_cannot_finish_in_time_is_refused_at_once() -> None:
    accepted = admission()
    accepted.admit(["good"], math.inf, 0.0, NOTHING)
    with pytest.raises(Overloaded, match="send fewer texts"):
        accepted.admit(TEXTS, 0.1, 0.0, NOTHING, Sender("ann", "online"))
    accepted.admit(TEXTS, 10.0, 0.0, NOTHING, Sender("ann", "online"))
