"""Batches: bounded, complete, fair, and among neighbours in length."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from feature_checks.classifier import EncodedText
from serving.inference.jobs import Batch, BatchLimits, Job
from serving.inference.queue import BULK_SHARE, WorkQueue

LIMITS = BatchLimits(texts=4, tokens=100)

lengths = st.lists(st.integers(2, 140), min_size=1, max_size=12)


def job(*tokens: int) -> Job:
    return Job([EncodedText([7] * count, False) for count in tokens])


def queue_of(*jobs: Job) -> WorkQueue:
    queue = WorkQueue(LIMITS)
    for each in jobs:
        queue.push(each)
    return queue


def drain(queue: WorkQueue) -> list[Batch]:
    batches = []
    while queue.texts:
        batches.append(queue.pop())
    return batches


@given(st.lists(lengths, max_size=15))
def test_every_text_comes_out_once_in_batches_within_the_limits(requests: list[list[int]]) -> None:
    jobs = [job(*tokens) for tokens in requests]
    batches = drain(queue_of(*jobs))
    assert all(len(batch) == 1 or LIMITS.allow(len(batch), max(row.tokens for row in batch)) for batch in batches)
    came_out = sorted((jobs.index(row.job), row.position) for batch in batches for row in batch)
    assert came_out == [(number, place) for number, each in enumerate(jobs) for place in range(len(each.texts))]


@given(st.lists(lengths, max_size=15))
def test_the_counts_end_at_nothing(requests: list[list[int]]) -> None:
    queue = queue_of(*(job(*tokens) for tokens in requests))
    assert queue.texts == sum(map(len, requests))
    drain(queue)
    assert (queue.texts, queue.tokens_ahead, queue.pop()) == (0, 0, [])


@given(st.lists(lengths, min_size=2, max_size=15), st.data())
def test_a_removed_request_leaves_nothing_behind(requests: list[list[int]], data: st.DataObject) -> None:
    jobs = [job(*tokens) for tokens in requests]
    queue = queue_of(*jobs)
    gone = data.draw(st.sampled_from(jobs))
    queue.remove(gone)
    rows = [row for batch in drain(queue) for row in batch]
    assert gone not in [row.job for row in rows]
    assert len(rows) == sum(len(each.texts) for each in jobs if each is not gone)
    assert queue.tokens_ahead == 0


@given(st.lists(st.integers(2, 90), min_size=1, max_size=40))
def test_the_oldest_text_is_in_the_next_batch(tokens: list[int]) -> None:
    singles = [job(count) for count in tokens]
    queue, waiting = queue_of(*singles), list(singles)
    while waiting:
        batch = [row.job for row in queue.pop()]
        assert waiting[0] in batch
        waiting = [each for each in waiting if each not in batch]


def test_neighbours_in_length_share_a_batch() -> None:
    short, long, near = job(10), job(60), job(12)
    first, second = drain(queue_of(short, long, near))
    assert {row.job for row in first} == {short, near}
    assert [row.job for row in second] == [long]


def test_a_text_longer_than_a_batch_goes_alone() -> None:
    giant, other = job(140), job(130)
    assert [len(batch) for batch in drain(queue_of(giant, other))] == [1, 1]


def test_a_single_text_goes_before_any_number_of_bulk_requests() -> None:
    bulk, single = [job(*[20] * 40) for _ in range(13)], job(20)
    queue = queue_of(*bulk)
    queue.pop()
    queue.push(single)
    assert [row.job for row in queue.pop()] == [single]


def test_single_texts_without_end_leave_bulk_its_share() -> None:
    bulk = job(*[20] * 400)
    queue = queue_of(bulk)
    batches = []
    for _ in range(80):
        for _ in range(4):
            queue.push(job(20))
        batches.append(queue.pop())
    assert sum(batch[0].job is bulk for batch in batches) == 80 // BULK_SHARE


def test_bulk_gets_every_batch_that_no_single_text_needs() -> None:
    bulk = job(*[20] * 40)
    queue = queue_of(job(20), bulk)
    assert [batch[0].job is bulk for batch in drain(queue)] == [False] + [True] * 10


def test_requests_of_a_few_batches_are_not_bulk() -> None:
    medium, bulk, single = job(*[20] * 12), job(*[20] * 40), job(20)
    queue = queue_of(bulk, medium, single)
    assert [batch[0].job for batch in (queue.pop(), queue.pop(), queue.pop(), queue.pop())] == [
        medium,
        single,
        medium,
        medium,
    ]


def test_bulk_requests_take_turns() -> None:
    first, second = job(*[20] * 24), job(*[20] * 24)
    assert [batch[0].job for batch in drain(queue_of(first, second))] == [first, second] * 6


def test_all_bulk_requests_together_count_one_batch_of_what_is_ahead() -> None:
    queue = queue_of(job(*[20] * 40), job(*[20] * 40), job(20))
    assert queue.tokens_ahead == LIMITS.tokens + 20
    assert queue.texts_ahead == LIMITS.texts + 1
