"""One of several training processes, started by torchrun: its number, and its share of this machine's cores."""

from __future__ import annotations

import os

from feature_checks.processor import available_cores


def rank() -> int:
    """Return the number of this process among all of the training, 0 without torchrun."""
    return int(os.environ.get("RANK", "0"))


def count() -> int:
    """Return the number of processes of the training on all machines, 1 without torchrun."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def share_cores() -> None:
    """Limit torch to this process's share of the cores of its machine. Without torchrun nothing is changed.

    The threads of torch wait for one another by spinning. With more threads than cores, most of the time is spent so:
    two processes of two threads on two cores need about ten times as long as two of one thread.
    """
    if "LOCAL_WORLD_SIZE" in os.environ:
        import torch

        torch.set_num_threads(max(1, available_cores() // int(os.environ["LOCAL_WORLD_SIZE"])))


def leave_group() -> None:
    """Leave the group of processes at the end of the training, so that none waits for this one."""
    import torch.distributed

    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
