"""What the processor of this machine computes fast, and the number of cores that this process may use.

The cores are those of its affinity, limited by the container's CPU quota.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

VNNI: Final = frozenset({"avx512_vnni", "avx_vnni"})
"""The instructions that multiply 8-bit integers and add them without saturation, by their names in /proc/cpuinfo."""
_CGROUPS: Final = Path("/sys/fs/cgroup")
_SELF: Final = Path("/proc/self/cgroup")


def processor_flags() -> frozenset[str]:
    """Return the instruction sets that /proc/cpuinfo names; none where that file is missing."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return frozenset(
        flag for line in lines if line.lower().startswith(("flags", "features")) for flag in line.split()[2:]
    )


def available_cores(mount: Path = _CGROUPS, membership: Path = _SELF) -> int:
    """Return the number of whole cores that this process can keep busy, at least one.

    A quota of 2.5 cores counts as two: a third thread would be throttled, and the event loop uses the rest.
    """
    quota = cpu_quota(mount, membership)
    cores = len(os.sched_getaffinity(0))
    return max(1, cores if quota is None else min(cores, int(quota)))


def cpu_quota(mount: Path = _CGROUPS, membership: Path = _SELF) -> float | None:
    """Return the smallest CPU quota, in cores, of this process's cgroups and their parents; None if there is none.

    Reads cgroup v2 (`cpu.max`) and v1 (`cpu.cfs_quota_us`), as cgroups(7) and the kernel's documentation
    describe them. The hierarchies are mounted at `mount`; `membership` has the format of /proc/self/cgroup.
    """
    return min((quota for folder in _folders(mount, membership) for quota in _quotas(folder)), default=None)


def _folders(mount: Path, membership: Path) -> Iterator[Path]:
    lines = membership.read_text(encoding="utf-8").splitlines() if membership.is_file() else []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "" or "cpu" in controllers.split(","):
            root = mount / "cpu" if controllers else mount
            # Inside a container the path may be the host's; the mount then shows the container's own group.
            inner = Path(path.lstrip("/"))
            yield from (root / part for part in (inner, *inner.parents))


def _quotas(folder: Path) -> Iterator[float]:
    unified, quota, period = (folder / name for name in ("cpu.max", "cpu.cfs_quota_us", "cpu.cfs_period_us"))
    if unified.is_file():
        words = unified.read_text(encoding="utf-8").split()
        if words[0] != "max":
            yield int(words[0]) / int(words[1])
    if quota.is_file() and period.is_file():
        microseconds = int(quota.read_text(encoding="utf-8"))
        if microseconds > 0:
            yield microseconds / int(period.read_text(encoding="utf-8"))
