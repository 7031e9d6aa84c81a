"""The batches of a training, which do not depend on the number of processes that share each of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch.utils.data import DataLoader


@dataclass
class SharedBatches:
    """Yields the row numbers of this process's share of each batch, for torch's `DataLoader(batch_sampler=…)`.

    The order of the rows follows from `seed` and `epoch` alone. So a training that is resumed, or that runs on another
    number of processes, sees the same batches. Rows of similar length come in one batch, so that little is padded.
    """

    lengths: Sequence[int]
    """The number of tokens of each row."""
    rows: int
    """Rows of a batch, over all processes; the last batch of an epoch may have fewer."""
    seed: int
    rank: int = 0
    processes: int = 1
    epoch: int = 0

    def __len__(self) -> int:
        return -(-len(self.lengths) // self.rows)

    def __iter__(self) -> Iterator[list[int]]:
        """Yield the shares; one without rows is `[n]`, the number after the last row of n.

        Every process takes part in every step, so the data set needs a row n that counts nothing.
        """
        import torch
        from transformers.trainer_pt_utils import get_length_grouped_indices

        generator = torch.Generator().manual_seed(_mixed(self.seed, self.epoch))
        order: list[int] = get_length_grouped_indices(self.lengths, self.rows, generator=generator)
        for start in range(0, len(order), self.rows):
            share = order[start : start + self.rows][self.rank :: self.processes]
            yield share or [len(order)]


def loader(dataset: Sequence[dict[str, Any]], batches: SharedBatches, collate: Any) -> DataLoader[Any]:
    """Return a DataLoader of the batches, with the method `set_epoch` that transformers' Trainer calls.

    At the start of an epoch it seeds torch from seed, epoch and rank. So dropout differs between processes, and an
    epoch is the same whether or not the training was resumed before it.
    """
    import torch
    from torch.utils.data import DataLoader

    class EpochLoader(DataLoader[Any]):
        def set_epoch(self, epoch: int) -> None:
            batches.epoch = epoch

        def __iter__(self) -> Any:
            torch.manual_seed(_mixed(batches.seed, batches.epoch, batches.rank))
            return super().__iter__()

    return EpochLoader(dataset, batch_sampler=batches, collate_fn=collate)  # type: ignore[arg-type]


def _mixed(*numbers: int) -> int:
    """Return one seed for several numbers: sums would give seed 0, epoch 1 the order of seed 1, epoch 0."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
