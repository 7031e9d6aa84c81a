from __future__ import annotations

from pathlib import Path

from tests.benchmarks.bulk_curve import draw, table

MEASURED = [
    {"rows": 1_000, "per_second": 1699.6, "share": 0.972, "peak_mib": 230.4},
    {"rows": 1_000_000, "per_second": 1712.2, "share": 0.951, "peak_mib": 231.0},
]


def test_the_table_has_a_row_for_each_file() -> None:
    assert table(MEASURED).splitlines()[2:] == ["| 1,000 | 1,700 | 97% | 230 |", "| 1,000,000 | 1,712 | 95% | 231 |"]


def test_the_picture_is_a_png(tmp_path: Path) -> None:
    draw(MEASURED, tmp_path / "bulk.png")
    assert (tmp_path / "bulk.png").read_bytes().startswith(b"\x89PNG")
