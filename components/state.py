"""Where local state lies, and which source this is."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


def state_dir() -> Path:
    """Return the folder of all local state, absolute (environment: STATE_DIR, default .local)."""
    return Path(os.environ.get("STATE_DIR") or ".local").absolute()


def git_revision() -> str:
    """Return the source's git revision (environment: GIT_REVISION where there is no checkout, as in an image)."""
    if stated := os.environ.get("GIT_REVISION"):
        return stated
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    return result.stdout.strip() or "unknown"
