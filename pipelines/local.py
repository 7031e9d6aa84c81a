"""Run a compiled pipeline on this machine with kfp.local, each step in a process of its own."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from feature_checks.state import state_dir
from pipelines.parameters import typed_arguments

if TYPE_CHECKING:
    from collections.abc import Iterator


class PipelineFailed(RuntimeError):
    """A step failed; the message names it and the run's folder. The step's own error is in the log above."""


@dataclass(frozen=True)
class LocalRun:
    """A finished run: its folder and the steps that ran, in order."""

    folder: Path
    tasks: tuple[str, ...]

    def artifact(self, task: str, name: str) -> Path:
        """Return the path of a step's output artifact."""
        return self.folder / task / name


def run_local(compiled: Path, arguments: Mapping[str, str], output: Path | None = None) -> LocalRun:
    """Run the compiled YAML with `arguments` (texts, read by each parameter's type).

    Outputs go to `output`, by default STATE_DIR/pipelines/NAME-TIME. A step that fails is not tried again: on one
    machine it would fail for the same reason, after minutes of waiting. Raises ParameterError before and PipelineFailed
    while running.

    Example: `run_local(Path("manifests/pipelines/training.yaml"), {"epochs": "2"}).artifact("gate", "decision")`.
    """
    from kfp import components, local

    root = output or state_dir() / "pipelines" / f"{compiled.stem}-{datetime.now(UTC):%Y%m%dT%H%M%S%f}"
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(root))
    pipeline = components.load_component_from_text(_without_retries(compiled.read_text(encoding="utf-8")))
    typed = typed_arguments(pipeline.component_spec.inputs or {}, arguments)
    with _quiet_progress_bars():
        try:
            pipeline(**typed)
        except RuntimeError as error:
            plain = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
            raise PipelineFailed(f"{plain} Outputs so far: {root}") from error
    folder = next(path for path in root.iterdir() if path.is_dir())
    return LocalRun(folder, tasks_of(folder))


def _without_retries(compiled: str) -> str:
    documents = list(yaml.safe_load_all(compiled))
    for document in documents:
        _remove_retries(document)
    return yaml.safe_dump_all(documents, sort_keys=False)


def _remove_retries(node: Any) -> None:
    if isinstance(node, dict):
        node.pop("retryPolicy", None)
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        _remove_retries(child)


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
