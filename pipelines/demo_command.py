"""What the demo's parts share: the console, and the pipelines as commands."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.console import Console

console: Final = Console()


class DemoFailed(RuntimeError):
    """A step of the demo did not do what it should; the message says which."""


def run_pipeline(name: str, params: Sequence[str]) -> Path:
    """Run a pipeline with NAME=VALUE parameters as a command, showing its log; return the folder of its outputs."""
    options = [word for param in params for word in ("--param", param)]
    return Path(json.loads(run_module("pipelines.run", "local", name, *options))["folder"])


def run_module(module: str, *arguments: str) -> str:
    """Run `python -m MODULE`, showing what it prints; return its last line. Raises DemoFailed when it fails."""
    last = ""
    with subprocess.Popen([sys.executable, "-m", module, *arguments], stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            console.out(line, end="", highlight=False)
            last = line.strip() or last
    if process.returncode != 0:
        command = " ".join([module, *arguments[:3]])
        raise DemoFailed(f"`python -m {command} …` ended with exit code {process.returncode}; its log is above")
    return last
