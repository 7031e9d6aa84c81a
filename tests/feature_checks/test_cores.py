"""The CPU quota of a container, from copies of the files the kernel shows."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from feature_checks.processor import available_cores, cpu_quota


@pytest.fixture
def membership(tmp_path: Path) -> Path:
    return tmp_path / "self"


def write(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def test_no_cgroup_at_all_is_no_quota(tmp_path: Path, membership: Path) -> None:
    assert cpu_quota(tmp_path, membership) is None
    assert available_cores(tmp_path, membership) == len(os.sched_getaffinity(0))


@pytest.mark.parametrize(("content", "cores"), [("250000 100000\n", 2.5), ("max 100000\n", None)])
def test_version_2(tmp_path: Path, membership: Path, content: str, cores: float | None) -> None:
    write(membership, "0::/\n")
    write(tmp_path / "cpu.max", content)
    assert cpu_quota(tmp_path, membership) == cores


def test_version_2_takes_the_tightest_of_the_parents(tmp_path: Path, membership: Path) -> None:
    write(membership, "0::/pods/one\n")
    write(tmp_path / "pods" / "cpu.max", "100000 100000\n")
    write(tmp_path / "pods" / "one" / "cpu.max", "400000 100000\n")
    assert cpu_quota(tmp_path, membership) == 1.0


@pytest.mark.parametrize(("quota", "cores"), [("150000\n", 1.5), ("-1\n", None)])
def test_version_1_seen_from_inside_the_container(
    tmp_path: Path, membership: Path, quota: str, cores: float | None
) -> None:
    write(membership, "4:cpu,cpuacct:/docker/0123\n3:memory:/docker/0123\n")
    write(tmp_path / "cpu" / "cpu.cfs_quota_us", quota)
    write(tmp_path / "cpu" / "cpu.cfs_period_us", "100000\n")
    assert cpu_quota(tmp_path, membership) == cores


@pytest.mark.parametrize(("quota", "cores"), [(50_000, 1), (100_000, 1), (190_000, 1), (10_000_000, None)])
def test_cores_are_whole_and_never_more_than_there_are(
    tmp_path: Path, membership: Path, quota: int, cores: int | None
) -> None:
    write(membership, "0::/\n")
    write(tmp_path / "cpu.max", f"{quota} 100000\n")
    assert available_cores(tmp_path, membership) == (cores or len(os.sched_getaffinity(0)))
