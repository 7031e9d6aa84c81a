"""What the processor of this machine computes fast."""

from __future__ import annotations

from pathlib import Path
from typing import Final

VNNI: Final = frozenset({"avx512_vnni", "avx_vnni"})
"""The instructions that multiply 8-bit integers and add them without saturation, by their names in /proc/cpuinfo."""


def processor_flags() -> frozenset[str]:
    """Return the instruction sets that /proc/cpuinfo names; none where that file is missing."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return frozenset(
        flag for line in lines if line.lower().startswith(("flags", "features")) for flag in line.split()[2:]
    )
