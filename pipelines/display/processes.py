"""Child processes that never outlive the command: each has a process group, which is ended as a whole."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Final

_PATIENCE: Final = 8.0
"""Seconds that interrupted processes have to end by themselves before they are killed."""


class Interrupted(KeyboardInterrupt):
    """The user or the system asked the command to end; `signal` says how."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number
        """Exit code by the shells' convention: 130 after Ctrl-C."""


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise Interrupted in the block on SIGINT, SIGTERM or SIGHUP, once: later ones do not disturb the clean-up.

    Example: `with interruptible(): run()`.
    """
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def interrupt(number: int, _: FrameType | None) -> None:
        for later in numbers:
            signal.signal(later, signal.SIG_IGN)
        raise Interrupted(number)

    before = [signal.signal(number, interrupt) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


@contextmanager
def process_group(command: Sequence[str], environment: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    """Start a command whose output is read line by line; end it and all its children when the block is left early.

    The command has a process group of its own, so that Ctrl-C reaches it only through this function.
    """
    process = subprocess.Popen(
        command,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        process_group=0,
    )
    try:
        yield process
    finally:
        _end_group(process)


def _end_group(process: subprocess.Popen[str]) -> None:
    """Interrupt what is left of the group and kill what does not end in time. A finished group is left alone."""
    if process.stdout:
        process.stdout.close()
    for number, patience in ((signal.SIGINT, _PATIENCE), (signal.SIGKILL, 1.0)):
        if not _signal_group(process.pid, number):
            break
        deadline = time.monotonic() + patience
        while _signal_group(process.pid, 0) and time.monotonic() < deadline:
            process.poll()  # A process that nobody has waited for still counts as one of its group.
            time.sleep(0.05)
    process.wait()


def _signal_group(group: int, number: int) -> bool:
    """Send a signal (0: none) to a process group; return whether the group exists."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    return True
