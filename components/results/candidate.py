"""The folders that hold everything known about a candidate model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class CandidateFolders:
    """Output folders of the steps before registration.

    Example: `CandidateFolders(model=run / "model", export=run / "exported", ...)`.
    """

    model: Path
    """The Hugging Face checkpoint."""
    export: Path
    """The bundle and the FP32 model."""
    evaluation: Path
    verification: Path
    gate: Path
    check: Path
    """The data check's report and warnings."""
    reference_window: Path
    """The folder of `files.REFERENCE_WINDOW`."""
