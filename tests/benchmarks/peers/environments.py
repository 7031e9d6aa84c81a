"""The environments of the other servers: one for each, with exactly the packages of its file in requirements/."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

REQUIREMENTS: Final = Path(__file__).parent / "requirements"
_INSTALL_SECONDS: Final = 1_800


class PeerUnavailable(Exception):
    """A server that cannot be installed or started here; the message says why, for the table."""


def make(requirements: Path, folder: Path) -> Path:
    """Return the folder of programs of the environment in `folder`, which is made where it is missing or differs.

    Raises PeerUnavailable with what pip says if a package cannot be installed.
    """
    wanted = requirements.read_text(encoding="utf-8")
    installed = folder / "installed.txt"
    if not installed.is_file() or installed.read_text(encoding="utf-8") != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        _run([sys.executable, "-m", "venv", "--without-pip", str(folder)])
        pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python")]
        _run([*pip, "install", "--quiet", "--requirement", str(requirements)])
        # Written last, so that an installation that was interrupted is done again.
        installed.write_text(wanted, encoding="utf-8")
    return folder / "bin"


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=_INSTALL_SECONDS, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        reasons = [line for line in lines if line.startswith("ERROR")] or lines
        raise PeerUnavailable(f"the installation failed: {reasons[-1]}")
