"""The folder of local state."""

from __future__ import annotations

import os
from pathlib import Path


def state_dir() -> Path:
    """Return the folder of all local state, absolute (environment: STATE_DIR; default: .local)."""
    return Path(os.environ.get("STATE_DIR") or ".local").absolute()
