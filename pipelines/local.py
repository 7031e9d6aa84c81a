"""Run a compiled pipeline on this machine with kfp.local, each step in a process of its own."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feature_checks.state import state_dir

if TYPE_CHECKING:
    from collections.abc import Iterator


class PipelineFailed(RuntimeError):
    """A step failed; the message names it and the run's folder. The step's own error is in the log above."""


class ParameterError(ValueError):
    """An argument that the pipeline does not take; the message lists those it does."""


@dataclass(frozen=True)
class LocalRun:
    """A finished run: its folder and the steps that ran, in order."""

    folder: Path
    tasks: tuple[str, ...]

    def artifact(self, task: str, name: str) -> Path:
        """Return the path of a step's output artifact."""
        return self.folder / task / name


def run_local(compiled: Path, arguments: Mapping[str, str]) -> LocalRun:
    """Run the compiled YAML with `arguments` (texts, read by each parameter's type).

    Outputs go to STATE_DIR/pipelines/NAME-TIME. Raises ParameterError before and PipelineFailed while running.
    """
    from kfp import components, local

    root = state_dir() / "pipelines" / f"{compiled.stem}-{datetime.now(UTC):%Y%m%dT%H%M%S%f}"
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(root))
    pipeline = components.load_component_from_file(str(compiled))
    typed = typed_arguments(pipeline.component_spec.inputs or {}, arguments)
    with _quiet_progress_bars():
        try:
            pipeline(**typed)
        except RuntimeError as error:
            plain = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
            raise PipelineFailed(f"{plain} Outputs so far: {root}") from error
    folder = next(path for path in root.iterdir() if path.is_dir())
    return LocalRun(folder, tasks_of(folder))


def typed_arguments(inputs: Mapping[str, Any], arguments: Mapping[str, str]) -> dict[str, Any]:
    """Return the arguments converted to the types of the pipeline's inputs."""
    readers: dict[str, Callable[[str], Any]] = {"Float": float, "Integer": int, "String": str}
    typed = {}
    for name, text in arguments.items():
        if name not in inputs:
            raise ParameterError(f"the pipeline has no parameter {name!r}; it takes {sorted(inputs)}")
        try:
            typed[name] = readers[inputs[name].type](text)
        except ValueError as error:
            raise ParameterError(f"parameter {name!r} is {text!r}; expected {inputs[name].type}") from error
    return typed


def tasks_of(folder: Path) -> tuple[str, ...]:
    """Return the steps that ran in a run's folder, in the order they started."""
    steps = [path for path in folder.iterdir() if path.is_dir()]
    return tuple(path.name for path in sorted(steps, key=lambda path: path.stat().st_ctime))


@contextmanager
def _quiet_progress_bars() -> Iterator[None]:
    """Let progress bars report every few seconds: kfp.local turns each of their updates into a line."""
    before = os.environ.get("TQDM_MININTERVAL")
    os.environ["TQDM_MININTERVAL"] = before or "5"
    try:
        yield
    finally:
        if before is None:
            del os.environ["TQDM_MININTERVAL"]
