"""What this machine has: Python and its packages, the processor, memory, disk and programs."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from feature_checks.processor import VNNI, processor_flags
from feature_checks.state import state_dir

GIGABYTE: Final = 1e9
_MEMORY_NEEDED: Final = 4.0
"""Gigabytes: training takes about 2, the rest is for the predictor and the system."""
_DISK_NEEDED: Final = 2.0
"""Gigabytes: a registered version takes about 0.25, and a run keeps the same again."""

State = Literal["ok", "missing", "optional"]


@dataclass(frozen=True)
class Finding:
    """One row of the table."""

    state: State
    """`missing`: training or serving on this machine needs it. `optional`: a single task does."""
    name: str
    value: str
    """What was found."""
    remedy: str = ""
    """How to get it, where it is missing."""


@dataclass(frozen=True)
class Program:
    """A program that a task needs."""

    name: str
    commands: Sequence[str]
    purpose: str
    package: str
    """How to get it."""
    folders: str = ""
    """Pattern of folders outside PATH where systems put it."""


PROGRAMS: Final = (
    Program("git", ["git"], "the source revision that a training run records", "Debian's git"),
    Program("curl", ["curl"], "the examples in the documentation", "Debian's curl"),
    Program("promtool", ["promtool"], "tests of the alert rules", "Debian's prometheus"),
    Program("kubectl", ["kubectl"], "make manifests, and deploying", "https://kubernetes.io/docs/tasks/tools/"),
    Program("Chromium", ["chromium", "chromium-browser", "google-chrome"], "browser tests", "Debian's chromium"),
    Program("chromedriver", ["chromedriver"], "browser tests", "Debian's chromium-driver"),
    Program("initdb", ["initdb"], "tests on PostgreSQL", "Debian's postgresql", "/usr/lib/postgresql/*/bin/initdb"),
    Program("Java", ["java"], "tests of the Java client, and engine spark", "Debian's openjdk-17-jre-headless"),
)


def findings() -> Iterator[Finding]:
    """Yield what the machine itself has. Nothing is started but `docker version`.

    Example: `[finding.name for finding in findings() if finding.state == "missing"]`.
    """
    yield _python()
    yield from _packages()
    yield _cores()
    yield _memory()
    yield _disk()
    yield processor(processor_flags())
    yield _default_data()
    yield _docker()
    for program in PROGRAMS:
        yield installed(program)


def _python() -> Finding:
    version = platform.python_version()
    if version.startswith("3.11."):
        return Finding("ok", "Python", version)
    return Finding("missing", "Python", version, "install Python 3.11; then make setup PYTHON=/path/to/python3.11")


def _packages() -> Iterator[Finding]:
    """Look for one package of each role; finding it does not import it."""
    roles = {"serving": "kserve", "training": "torch", "pipelines": "kfp", "monitoring": "evidently"}
    for role, package in roles.items():
        if importlib.util.find_spec(package):
            yield Finding("ok", f"packages: {role}", "installed")
        else:
            yield Finding("missing", f"packages: {role}", f"{package} is not installed", "make setup")


def _cores() -> Finding:
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    advice = "" if count >= 2 else "two cores or more; the demo takes about ten minutes on two"
    return Finding("ok" if count >= 2 else "optional", "processor cores", str(count), advice)


def _memory() -> Finding:
    size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIGABYTE
    enough = size >= _MEMORY_NEEDED
    return Finding(
        "ok" if enough else "missing", "memory", f"{size:.1f} GB", "" if enough else f"{_MEMORY_NEEDED:.0f} GB or more"
    )


def _disk() -> Finding:
    folder = next(path for path in (state_dir(), *state_dir().parents) if path.is_dir())
    free = shutil.disk_usage(folder).free / GIGABYTE
    enough = free >= _DISK_NEEDED
    remedy = "" if enough else f"free {_DISK_NEEDED:.0f} GB, or set STATE_DIR to another disk"
    return Finding("ok" if enough else "missing", "free disk", f"{free:.1f} GB for {folder}", remedy)


def processor(flags: frozenset[str]) -> Finding:
    """Return how the processor, with these flags of /proc/cpuinfo, computes the INT8 model."""
    if VNNI & flags:
        return Finding("ok", "INT8 arithmetic", "VNNI instructions")
    if "avx2" in flags:
        return Finding("ok", "INT8 arithmetic", "AVX2 with exact kernels, slower than VNNI")
    if "asimddp" in flags:
        return Finding("ok", "INT8 arithmetic", "Arm dot-product instructions")
    return Finding("optional", "INT8 arithmetic", "no fast instructions known", "a processor with AVX2 or VNNI")


def _default_data() -> Finding:
    cached = next((state_dir() / "data").glob("vaderSentiment-*.tar.gz"), None)
    if cached:
        return Finding("ok", "default data", str(cached))
    return Finding("optional", "default data", "not cached", "the first training downloads it from the package index")


def _docker() -> Finding:
    remedy = "for make images: a Docker engine, and DOCKER_HOST where it is elsewhere"
    if not shutil.which("docker"):
        return Finding("optional", "Docker engine", "no docker command", remedy)
    command = ["docker", "version", "--format", "{{.Server.Version}}"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=5)
    except subprocess.TimeoutExpired:
        return Finding("optional", "Docker engine", "no answer within 5 s", remedy)
    if result.returncode != 0:
        return Finding("optional", "Docker engine", "no engine answers", remedy)
    return Finding("ok", "Docker engine", result.stdout.strip())


def installed(program: Program) -> Finding:
    """Return where a program is, or how to get it."""
    on_path = next((path for path in map(shutil.which, program.commands) if path), None)
    elsewhere = sorted(Path("/").glob(program.folders.lstrip("/"))) if program.folders else []
    if path := on_path or next((str(path) for path in reversed(elsewhere)), None):
        return Finding("ok", program.name, path)
    return Finding("optional", program.name, "not found", f"for {program.purpose}: {program.package}")
