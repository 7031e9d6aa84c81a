"""Draw one line a step: live on a terminal, plain in a file or in CI."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, Literal

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

State = Literal["done", "failed", "stopped"]

_COLORS: Final = {"done": "green", "failed": "red", "stopped": "yellow"}
_NAME, _STATE, _SECONDS = 17, 8, 9
"""Widths of the first columns, in characters."""


@dataclass
class Step:
    """A step that is running."""

    name: str
    figure: str = ""
    """The one figure that matters, shown behind the step."""
    fraction: float | None = None
    """How much of the step is done, from 0 to 1; None where that is not known."""
    start: float = field(default_factory=time.perf_counter)

    @property
    def seconds(self) -> float:
        """Seconds since the step started."""
        return time.perf_counter() - self.start


class Screen:
    """Prints a line for each finished step, and the name of the running one. This is the form for files and CI.

    Example: `with Screen().step("score") as step: step.figure = "500 requests"`.
    """

    def __init__(self, *, verbose: bool = False) -> None:
        self.verbose = verbose
        self._line_is_open = False

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """Show a step while the block runs; on an exception as failed, on an interruption as stopped."""
        step = self.begin(name)
        try:
            yield step
        except Exception:
            self.end(step, "failed")
            raise
        except BaseException:
            self.end(step, "stopped")
            raise
        self.end(step, "done")

    def begin(self, name: str) -> Step:
        """Show that a step runs; `end` has to follow."""
        if not self.verbose:
            self._write(f"  {name:<{_NAME}}", end="")
            self._line_is_open = True
        return Step(name)

    def update(self, step: Step) -> None:
        """Show a new fraction or figure of the running step."""

    def end(self, step: Step, state: State) -> None:
        """Show the step's final line."""
        name = "" if self._line_is_open else f"  {step.name:<{_NAME}}"
        self._line_is_open = False
        self._write(f"{name}{state:<{_STATE}}{step.seconds:>{_SECONDS - 2}.1f} s  {step.figure}".rstrip())

    def note(self, text: str = "") -> None:
        """Print a line between the steps."""
        if self._line_is_open:
            self._write("")
            self._line_is_open = False
        self._write(text)

    def output(self, text: str) -> None:
        """Print a line that a step printed, where all of them are wanted."""
        if self.verbose:
            self._write(text)

    def _write(self, text: str, end: str = "\n") -> None:
        sys.stdout.write(text + end)
        sys.stdout.flush()


class TerminalScreen(Screen):
    """Shows the running step with its time, and a bar where its progress is known."""

    def __init__(self, console: Console | None = None) -> None:
        super().__init__()
        self._console = console or Console(highlight=False)
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def begin(self, name: str) -> Step:
        """Show that a step has begun; return its state."""
        columns = (
            SpinnerColumn(),
            TextColumn(f"{{task.description:<{_NAME}}}", markup=False),
            BarColumn(bar_width=24),
            TimeElapsedColumn(),
            TextColumn("{task.fields[figure]}", markup=False),
        )
        # Two pictures a second: drawing must not take time from the step.
        self._bar = Progress(*columns, console=self._console, transient=True, refresh_per_second=2)
        self._task = self._bar.add_task(name, total=None, figure="")
        self._bar.start()
        return Step(name)

    def update(self, step: Step) -> None:
        """Show the progress of a step."""
        if self._bar is not None and self._task is not None:
            total = None if step.fraction is None else 1.0
            self._bar.update(self._task, completed=step.fraction or 0.0, total=total, figure=step.figure)

    def end(self, step: Step, state: State) -> None:
        """Show how a step has ended."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        # A grid keeps a long reason within its own column.
        line = Table.grid(padding=(0, 2, 0, 0))
        for width in (_NAME, _STATE - 2):
            line.add_column(width=width, no_wrap=True)
        line.add_column(width=_SECONDS - 2, justify="right", no_wrap=True)
        line.add_column(overflow="fold")
        seconds, figure = Text(f"{step.seconds:.1f} s"), Text(step.figure)
        line.add_row(Text(f"  {step.name}"), Text(state, _COLORS[state]), seconds, figure)
        self._console.print(line)

    def note(self, text: str = "") -> None:
        """Print a line of text."""
        self._console.print(text, markup=False, soft_wrap=True)


def screen_for(*, verbose: bool) -> Screen:
    """Return the screen that suits the output: live on a terminal, plain elsewhere and when everything is shown.

    Example: `screen = screen_for(verbose=False)`.
    """
    return Screen(verbose=verbose) if verbose or not Console().is_terminal else TerminalScreen()
