"""Where local state lies, and which source this is, for the steps."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from feature_checks.state import state_dir

__all__ = ["git_revision", "state_dir"]


def git_revision() -> str:
    """Return the source's git revision (environment: GIT_REVISION where there is no checkout, as in an image)."""
    if stated := os.environ.get("GIT_REVISION"):
        return stated
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    return result.stdout.strip() or "unknown"
