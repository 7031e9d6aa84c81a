"""Users share the queue by tokens, and the estimate of when a request is done knows it."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_checks.classifier import EncodedText
from serving.inference.fair_lane import shared_finish, users_finish
from serving.inference.jobs import Batch, BatchLimits, Job, Sender
from serving.inference.queue import WorkQueue
from serving.protocol.priority import Priority

LIMITS = BatchLimits(texts=4, tokens=100)


def job(user: str, texts: int, tokens: int = 20, priority: Priority | None = None) -> Job:
    return Job([EncodedText([7] * tokens, False) for _ in range(texts)], sender=Sender(user, priority))


def queue_of(*jobs: Job) -> WorkQueue:
    queue = WorkQueue(LIMITS)
    for each in jobs:
        queue.push(each)
    return queue


def tokens_by_user(batches: list[Batch]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for batch in batches:
        for row in batch:
            counts[row.job.sender.user] += row.tokens
    return counts


@pytest.mark.parametrize("priority", [None, "online"])
def test_one_user_with_many_requests_does_not_starve_another(priority: Priority | None) -> None:
    queue = queue_of(*(job("ann", 40, priority=priority) for _ in range(10)), job("bob", 40, priority=priority))
    had: Counter[str] = Counter()
    while had["bob"] < 800:
        had += tokens_by_user([queue.pop()])
    assert abs(had["ann"] - had["bob"]) <= LIMITS.tokens


def test_shares_are_by_tokens_not_by_batches_or_requests() -> None:
    queue = queue_of(*(job("long", 100, tokens=90) for _ in range(3)), *(job("short", 400, tokens=5) for _ in range(3)))
    had = tokens_by_user([queue.pop() for _ in range(150)])
    assert abs(had["long"] - had["short"]) <= LIMITS.tokens
    assert had["long"] > 1000


def test_without_contention_one_user_gets_everything() -> None:
    queue = queue_of(*(job("ann", 40) for _ in range(3)))
    assert tokens_by_user([queue.pop() for _ in range(30)]) == {"ann": 2400}


def test_nobody_pays_for_the_time_before_another_came() -> None:
    queue = queue_of(job("ann", 400))
    for _ in range(50):
        queue.pop()
    queue.push(job("bob", 400))
    had = tokens_by_user([queue.pop() for _ in range(20)])
    assert abs(had["ann"] - had["bob"]) <= LIMITS.tokens


def test_a_user_who_sends_one_request_after_another_gets_no_more_than_the_share() -> None:
    """Who leaves and comes back at once must not be taken for somebody who has had nothing."""
    queue, had = queue_of(job("ann", 400), job("bob", 400)), Counter[str]()
    for _ in range(60):
        if not queue._bulk.jobs_of("eve"):
            queue.push(job("eve", 1, tokens=100, priority="bulk"))
        had += tokens_by_user([queue.pop()])
    assert max(had.values()) - min(had.values()) <= 2 * LIMITS.tokens


def test_a_stated_priority_precedes_the_size() -> None:
    queue = queue_of(job("ann", 1, priority="bulk"), job("bob", 40, priority="online"), job("eve", 1))
    order = [batch[0].job.sender.user for batch in (queue.pop() for _ in range(12))]
    assert order.index("eve") <= 1
    assert order.index("ann") == 7
    assert order.count("bob") == 10


def test_many_online_requests_of_one_user_delay_single_texts_by_one_batch() -> None:
    queue = queue_of(*(job("ann", 40, priority="online") for _ in range(10)))
    assert queue.tokens_ahead == LIMITS.tokens
    assert queue.ahead("ann").turns == 9
    assert queue.ahead("bob").turns == 0
    queue.push(job("bob", 1))
    assert [queue.pop()[0].job.sender.user for _ in range(2)] == ["ann", "bob"]


@given(st.lists(st.tuples(st.integers(1, 5), st.sampled_from("abc")), min_size=1, max_size=12))
def test_the_estimate_is_what_the_lane_does(requests: list[tuple[int, str]]) -> None:
    """Each request has batches of 100 tokens. It is done no later than estimated, but for one turn of every request."""
    jobs = [job(user, size, tokens=100, priority="bulk") for size, user in requests]
    queue, done, computed = queue_of(*jobs), {}, 0
    left = {id(each): len(each.texts) for each in jobs}
    while queue.texts:
        (row,) = queue.pop()
        computed += row.tokens
        left[id(row.job)] -= 1
        if not left[id(row.job)]:
            done[id(row.job)] = computed
    expected = users_finish([100.0 * size for size, _ in requests], [user for _, user in requests])
    found = np.array([done[id(each)] for each in jobs])
    assert (found - expected).max() <= 100 * len(jobs)
    assert (expected - found).max() <= 100 * len(jobs) * len({user for _, user in requests})
    assert found.max() == expected.max()


def test_the_estimate_is_hierarchical() -> None:
    assert users_finish([100.0] * 11, ["ann"] * 10 + ["bob"])[-1] == 200
    assert users_finish([100.0] * 3, ["a", "b", "c"]).tolist() == shared_finish([100.0] * 3).tolist() == [300] * 3
    assert shared_finish([3.0, 1.0, 2.0]).tolist() == [6, 3, 5]
    assert users_finish([], []).tolist() == []
