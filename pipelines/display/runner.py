"""Run a pipeline on this machine and show its steps."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from feature_checks.state import state_dir
from pipelines.compiling import COMPILED
from pipelines.display.figures import figure_of
from pipelines.display.processes import process_group
from pipelines.display.reasons import reason_of
from pipelines.display.screen import Screen, State, Step
from pipelines.display.step_logs import RUN_LOG, Event, OutputLine, StepEnded, StepProgress, StepStarted, split_output

_ENVIRONMENT: Final = {"PYTHONUNBUFFERED": "1", "TQDM_DISABLE": "1"}
"""Lines must arrive when they are printed, not when a buffer is full. A log needs no progress bars: steps print lines
of the form that `step_logs` reads."""


class CommandFailed(RuntimeError):
    """A command that the display runs has failed: what failed, why, and the log with the details."""

    def __init__(self, what: str, reason: str, log: Path) -> None:
        super().__init__(f"{what} failed: {reason}")
        self.what = what
        self.reason = reason
        self.log = log


@dataclass(frozen=True)
class FinishedRun:
    """A pipeline run that ended well."""

    folder: Path
    """Holds the outputs: one folder a step."""
    logs: Path
    """Holds the logs: one file a step."""

    def output(self, step: str, name: str) -> Path:
        """Return the file of that name among the output artifacts of a step."""
        (path,) = (self.folder / step).glob(f"*/{name}")
        return path


class _RunningPipeline:
    """Follows a run by its events and shows its steps."""

    def __init__(self, outputs: Path, logs: Path, screen: Screen) -> None:
        self.outputs = outputs
        self.screen = screen
        self.step: Step | None = None
        """The step that the screen shows as running."""
        self.waiting: list[Step] = []
        """Steps that run beside it: a pipeline may have trials that run in parallel, and a screen shows one line."""
        self.first_failure: tuple[str, Path] | None = None
        self.run_log = logs / RUN_LOG
        self.log = self.run_log

    def show(self, event: Event) -> None:
        """Bring the screen up to date."""
        match event:
            case StepStarted(name, log) if self.step:
                self.log = log
                self.waiting.append(Step(name))
            case StepStarted(name, log):
                self.log, self.step = log, self.screen.begin(name)
            case StepProgress(fraction, figure) if self.step:
                self.step.fraction, self.step.figure = fraction, figure
                self.screen.update(self.step)
            case StepEnded(name, succeeded=True) if self.step:
                # Steps run in parallel only as trials of one name, so that it does not matter which of them has ended.
                self.step.figure = figure_of(name, self.folder() / name) or self.step.figure
                self.end_step("done")
                self.log = self.log if self.step else self.run_log
            case OutputLine(text):
                self.screen.output(text)
            case StepEnded(succeeded=False) if self.step:
                self._fail()
            case _:
                # An end without a start: nothing is shown that could be brought up to date.
                pass

    def end_step(self, state: State) -> None:
        """Show the final line of the step that runs, if one does."""
        if self.step:
            self.screen.end(self.step, state)
            self.step = None
        if self.waiting:
            waited = self.waiting.pop(0)
            self.step = self.screen.begin(waited.name)
            self.step.start = waited.start

    def failure(self) -> CommandFailed:
        """Return the error of the first step that failed, with its reason; show a step that still runs as failed."""
        if self.step:
            self._fail()
        what, log = self.first_failure or ("the pipeline run", self.run_log)
        return CommandFailed(what, reason_of(log), log)

    def _fail(self) -> None:
        """Show the step that runs as failed. kfp.local goes on with steps that do not need it."""
        if self.step:
            self.first_failure = self.first_failure or (f"the step {self.step.name!r}", self.log)
            self.end_step("failed")
            self.log = self.log if self.step else self.run_log

    def folder(self) -> Path:
        """Return the only folder below the outputs, which kfp.local names after the pipeline."""
        (folder,) = (path for path in self.outputs.iterdir() if path.is_dir())
        return folder


def run_pipeline(name: str, params: Sequence[str], screen: Screen, compiled: Path = COMPILED) -> FinishedRun:
    """Run the pipeline `compiled`/NAME.yaml with NAME=VALUE parameters and show a line for each step.

    Outputs go to STATE_DIR/pipelines/NAME-TIME and everything printed to STATE_DIR/logs/NAME-TIME. Raises
    CommandFailed when a step, or the start of the run, fails.

    Example: `run_pipeline("training", ["epochs=2"], Screen()).output("gate", "decision.json")`.
    """
    run = f"{name}-{datetime.now(UTC):%Y%m%dT%H%M%S%f}"
    outputs, logs = state_dir() / "pipelines" / run, state_dir() / "logs" / run
    running = _RunningPipeline(outputs, logs, screen)
    options = [word for param in params for word in ("--param", param)]
    folders = ["--compiled", str(compiled), "--output", str(outputs)]
    command = [sys.executable, "-m", "pipelines.run", "local", name, *folders, *options]
    with process_group(command, _ENVIRONMENT) as process:
        try:
            for event in split_output(process.stdout or (), logs):
                running.show(event)
            code = process.wait()
        except BaseException:
            running.end_step("stopped")
            raise
    if code != 0:
        raise running.failure()
    return FinishedRun(running.folder(), logs)


def run_module(module: str, arguments: Sequence[str], log: Path, screen: Screen) -> None:
    """Run `python -m MODULE` with its output in `log`. Raises CommandFailed when it fails.

    Example: `run_module("components.ingest", ["--help"], Path("ingest.log"), Screen())`.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with (
        process_group([sys.executable, "-m", module, *arguments], _ENVIRONMENT) as process,
        log.open("w", encoding="utf-8") as output,
    ):
        for line in process.stdout or ():
            output.write(line)
            screen.output(line.rstrip())
        code = process.wait()
    if code != 0:
        raise CommandFailed(f"`python -m {module}`", reason_of(log), log)
