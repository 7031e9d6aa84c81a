"""Split what a local pipeline run prints into one log file a step, and name what happens as events.

kfp.local writes a time-stamped line when a step starts and ends, and indents everything that a step prints by four
spaces. A line that a step prints can therefore not be mistaken for one of these.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO

RUN_LOG: Final = "00-run.log"
"""File of the lines that belong to no step: the start and the end of the run."""

_TERMINAL_CODE: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
"""Colours and movements of the cursor."""
_STARTED: Final = re.compile(r"^[\d:.]+ - INFO - Executing task '(?P<name>.+)'$")
_ENDED: Final = re.compile(r"^[\d:.]+ - \w+ - Task '(?P<name>.+)' finished with status (?P<status>SUCCESS|FAILURE)$")
_PROGRESS: Final = re.compile(r"^ {4}\s*progress: (?P<fraction>[01](?:\.\d+)?) (?P<figure>.*)$")


@dataclass(frozen=True)
class StepStarted:
    """A step has started; its output goes to `log`."""

    name: str
    log: Path


@dataclass(frozen=True)
class StepProgress:
    """A step has printed `progress: FRACTION FIGURE`, such as `progress: 0.42 loss 0.83`."""

    fraction: float
    figure: str


@dataclass(frozen=True)
class StepEnded:
    """A step has ended: the one that started last, unless steps run in parallel."""

    name: str
    succeeded: bool


@dataclass(frozen=True)
class OutputLine:
    """Any other line, as it was printed but without colours and the line's end."""

    text: str


Event = StepStarted | StepProgress | StepEnded | OutputLine


def split_output(lines: Iterable[str], folder: Path) -> Iterator[Event]:
    """Write the lines to `folder`/NN-STEP.log as they come, and yield an event for each.

    Example: `for event in split_output(process.stdout, Path(".local/logs/run")): …`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    run_log = (folder / RUN_LOG).open("w", encoding="utf-8")
    step_log: TextIO | None = None
    number = running = 0
    try:
        for line in lines:
            event = _event(line, folder, number + 1)
            if isinstance(event, StepStarted):
                number, running = number + 1, running + 1
                step_log = _reopened(step_log, event.log)
            _write(step_log or run_log, line)
            if isinstance(event, StepEnded):
                running -= 1
                # Nothing says which of two steps that run in parallel has printed a line: both have the newest log.
                step_log = step_log if running > 0 else _reopened(step_log, None)
            yield event
    finally:
        _reopened(step_log, None)
        run_log.close()


def _event(line: str, folder: Path, number: int) -> Event:
    text = _TERMINAL_CODE.sub("", line.rstrip("\r\n"))
    if started := _STARTED.match(text):
        return StepStarted(started["name"], folder / f"{number:02}-{started['name']}.log")
    if ended := _ENDED.match(text):
        return StepEnded(ended["name"], ended["status"] == "SUCCESS")
    if progress := _PROGRESS.match(text):
        return StepProgress(float(progress["fraction"]), progress["figure"])
    return OutputLine(text)


def _reopened(before: TextIO | None, path: Path | None) -> TextIO | None:
    if before:
        before.close()
    return path.open("w", encoding="utf-8") if path else None


def _write(log: TextIO, line: str) -> None:
    log.write(_TERMINAL_CODE.sub("", line))
    # Someone may follow the log, and an interrupted run must not lose its last lines.
    log.flush()
