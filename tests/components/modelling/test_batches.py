"""The shares of the processes make up the batches of one process."""

from __future__ import annotations

from itertools import chain

import pytest

from components.modelling.batches import SharedBatches

LENGTHS = [3 + number % 11 for number in range(99)]


def shares(processes: int, seed: int = 0, epoch: int = 0) -> list[list[list[int]]]:
    """Return, for each batch, the share of each process."""
    each = [list(SharedBatches(LENGTHS, 32, seed, rank, processes, epoch)) for rank in range(processes)]
    return [list(batch) for batch in zip(*each, strict=True)]


@pytest.mark.parametrize("processes", [1, 2, 3, 5])
def test_every_number_of_processes_has_the_same_batches(processes: int) -> None:
    nothing = len(LENGTHS)
    whole = [set(batch) for (batch,) in shares(1)]
    assert [set(chain(*batch)) - {nothing} for batch in shares(processes)] == whole
    assert sorted(len(batch) for batch in whole) == [3, 32, 32, 32]
    assert sorted(chain(*whole)) == list(range(99))


def test_a_process_without_a_share_gets_the_row_that_counts_nothing() -> None:
    assert [len(share) for share in shares(5)[-1]] == [1, 1, 1, 1, 1]
    assert [share == [99] for share in shares(5)[-1]] == [False, False, False, True, True]
    assert not any([99] in batch for batch in shares(5)[:-1])


def test_the_order_follows_from_seed_and_epoch() -> None:
    assert shares(2) == shares(2)
    orders = [str(shares(1, seed, epoch)) for seed in (0, 1) for epoch in (0, 1)]
    assert len(set(orders)) == 4
