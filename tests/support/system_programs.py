"""The system programs that `make test-system` needs, and where each comes from.

python -m tests.support.system_programs   # prints what is missing, in one table; exit code 1 when anything is
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Program:
    """A program that pip cannot install."""

    name: str
    candidates: tuple[str, ...]
    """Command names, or glob patterns of absolute paths, any of which will do."""
    tests: str
    """What is tested with it."""
    remedy: str
    """How to get it."""

    def path(self) -> Path | None:
        """Return where the program is, None when it is not on this machine."""
        return next(self._paths(), None)

    def _paths(self) -> Iterator[Path]:
        for candidate in self.candidates:
            if candidate.startswith("/"):
                yield from sorted(Path("/").glob(candidate[1:]))
            elif command := shutil.which(candidate):
                yield Path(command)


PROGRAMS: Final = (
    Program("git", ("git",), "the source revision that a training run records", "apt-get install git"),
    Program("curl", ("curl",), "the predictor with curl as client", "apt-get install curl"),
    Program(
        "Chromium",
        ("chromium", "chromium-browser", "google-chrome"),
        "pages and reports in a browser",
        "apt-get install chromium",
    ),
    Program("chromedriver", ("chromedriver",), "the control of that browser", "apt-get install chromium-driver"),
    Program("npm", ("npm",), "accessibility of pages and reports (axe-core)", "apt-get install npm"),
    Program(
        "PostgreSQL",
        ("initdb", "/usr/lib/postgresql/*/bin/initdb"),
        "MLflow on PostgreSQL, S3 and Redis with TLS",
        "apt-get install postgresql",
    ),
    Program("nginx", ("nginx", "/usr/sbin/nginx"), "client addresses behind proxies", "apt-get install nginx-light"),
    Program("Java 17", ("java",), "bulk scoring and log windows on Spark", "apt-get install openjdk-17-jre-headless"),
    Program("Prometheus", ("prometheus",), "dashboards and alerts on real metrics", "apt-get install prometheus"),
)


def missing() -> list[Program]:
    """Return the programs that are not on this machine."""
    return [program for program in PROGRAMS if program.path() is None]


def table(programs: list[Program]) -> Table:
    """Return a table of the given programs."""
    result = Table(title="Programs that make test-system needs and this machine lacks")
    for column in ("program", "what is tested with it", "how to get it on Debian or Ubuntu"):
        result.add_column(column)
    for program in programs:
        result.add_row(program.name, program.tests, program.remedy)
    return result


def main() -> int:
    """Print the missing programs; return the exit code."""
    lacking = missing()
    if lacking:
        Console(stderr=True).print(table(lacking))
    return 1 if lacking else 0


if __name__ == "__main__":
    sys.exit(main())
