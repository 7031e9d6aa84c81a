"""The capacity page: results that can be computed by hand, and equal files for equal options."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = (sys.executable, "-m", "tests.benchmarks.capacity")


def run(folder: Path, *options: str) -> dict[str, list[str]]:
    """Run the command for an hour of the day; return the cells of the page's table by the name of the run."""
    subprocess.run([*COMMAND, "--hours", "1", "--output", folder, *options], check=True)
    lines = re.findall(r"^\| (.+) \|$", (folder / "CAPACITY.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {cells[0]: cells[1:] for cells in (line.split(" | ") for line in lines)}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, list[str]]]:
    """The page from a results file of 100 requests/s a pod, pods that take 30 s to start, and a price of 1."""
    folder = tmp_path_factory.mktemp("capacity")
    steady = {"p50_ms": 10, "p95_ms": 20}
    measurements = {"single, 64 connections": {"per_second": 100}, "single, evenly at 70 %": steady}
    content = {"created": "now", "cores": 1, "measurements": measurements}
    (folder / "results.json").write_text(json.dumps(content), encoding="utf-8")
    options = ("--results", str(folder / "results.json"), "--start-seconds", "30", "--price", "1", "--burst-base", "50")
    return folder, run(folder, *options, "--peak", "100")


def test_a_burst_is_refused_until_new_pods_are_ready(page: tuple[Path, dict[str, list[str]]]) -> None:
    requests, _, started, p95, refused, *_ = page[1]["burst"]
    total = int(requests.replace(",", ""))
    assert total == pytest.approx(50 * 1500 + 500 * 300, rel=0.01)
    assert int(started) >= 4
    # One pod of 100/s meets 500/s for the 30 s of a start and the ticks before the decision.
    assert float(refused.rstrip("%")) / 100 * total == pytest.approx(400 * 31, rel=0.1)
    assert float(p95) >= 20


def test_kept_pods_refuse_less_and_cost_more(page: tuple[Path, dict[str, list[str]]]) -> None:
    plain, kept = page[1]["burst"], page[1]["burst, three pods kept"]
    assert float(kept[4].rstrip("%")) < float(plain[4].rstrip("%"))
    assert float(kept[6]) > float(plain[6])


def test_the_cost_is_that_of_the_pods(page: tuple[Path, dict[str, list[str]]]) -> None:
    requests, pods, *_, cost = page[1]["day"]
    hours = float(pods.split(",")[0])
    assert float(cost) == pytest.approx(hours / int(requests.replace(",", "")) * 1e6, rel=0.05)


def test_the_page_says_that_it_is_a_simulation_and_equal_options_give_equal_files(
    page: tuple[Path, dict[str, list[str]]], tmp_path: Path
) -> None:
    folder, table = page
    assert (
        (folder / "CAPACITY.md")
        .read_text(encoding="utf-8")
        .startswith("# Capacity: a simulation\n\n**Simulated, never")
    )
    options = ("--results", str(folder / "results.json"), "--start-seconds", "30", "--price", "1", "--burst-base", "50")
    assert run(tmp_path, *options, "--peak", "100") == table
    for name in ("CAPACITY.md", "capacity-day.png", "capacity-burst.png"):
        assert (folder / name).read_bytes() == (tmp_path / name).read_bytes()


def test_the_manifests_aim_where_the_published_page_simulates() -> None:
    manifests = Path(__file__).parents[2] / "manifests"
    simulated = re.search(r"concurrency target\s+(\d+)", (manifests / "CAPACITY.md").read_text(encoding="utf-8"))
    assert simulated
    written = re.search(r"`scaleTarget: (\d+)`", (manifests / "README.md").read_text(encoding="utf-8"))
    assert written
    assert written[1] == simulated[1]
    targets = {
        str(file.relative_to(manifests)): found
        for file in manifests.rglob("*.yaml")
        if (found := re.findall(r"scaleTarget: (\d+)", file.read_text(encoding="utf-8")))
    }
    assert targets == {
        "components/knative/inference-service.yaml": [simulated[1]],
        "canary/knative/challenger.yaml": [simulated[1]],
    }
