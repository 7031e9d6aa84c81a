"""Bulk scoring on Spark in local mode: the results of `score`, also after it was killed half-way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from feature_checks.bundle import Bundle
from serving.bulk.score import score_file
from serving.inference.engine import OnnxEngine
from serving.inference.loading import PreparedModel

ROOT = Path(__file__).parents[2]
ROWS = 12_000
PART_ROWS = 500


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reviews")
    texts: list[Any] = [f"Sentence {number} works " + "very well " * (number % 30) for number in range(ROWS)]
    texts[10:14] = ["", None, "word " * 600, "x" * 20_001]
    frame = pd.DataFrame({"text": texts})
    frame[:7_000].to_parquet(folder / "a.parquet", row_group_size=1_300)
    frame[7_000:].to_parquet(folder / "b.parquet")
    return folder


def start(source: Path, target: Path, bundle: Bundle, state: Path) -> subprocess.Popen[str]:
    command = ["score", str(source), str(target), "--engine", "spark", "--part-rows", str(PART_ROWS)]
    environment = os.environ | {"MODEL_URI": str(bundle.folder), "STATE_DIR": str(state)}
    environment["SPARK_LOCAL_DIRS"] = str(state / "spark")  # a killed Spark leaves its files
    return subprocess.Popen(
        [sys.executable, "-m", "pipelines.cli", *command],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_spark_scores_as_score_does_and_goes_on_after_a_kill(source: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    target = tmp_path / "scored"
    killed = start(source, target, tiny_bundle, tmp_path / "state")
    give_up = time.monotonic() + 240
    while len(list(target.glob("part-*.parquet"))) < 3:
        assert killed.poll() is None and time.monotonic() < give_up, killed.communicate()[1][-3000:]
        time.sleep(0.02)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    time.sleep(1)  # a worker ends when it notices that its driver is gone
    written = {path: path.stat().st_mtime_ns for path in target.glob("part-*.parquet")}
    assert 3 <= len(written) < ROWS / PART_ROWS

    resumed = start(source, target, tiny_bundle, tmp_path / "state")
    output, errors = resumed.communicate(timeout=280)
    assert resumed.returncode == 0, errors[-3000:]
    assert {path: path.stat().st_mtime_ns for path in written} == written
    report = json.loads(output[output.index("{") :])
    assert (report["parts"], report["scored_now"]) == (ROWS / PART_ROWS, ROWS / PART_ROWS - len(written))
    assert (report["rows"], sum(report["refused"].values())) == (ROWS, 3)
    assert sum(report["labels"].values()) == ROWS - 3

    found = pd.read_parquet(target).sort_values("row", ignore_index=True)
    one = tmp_path / "one.parquet"
    pd.concat([pd.read_parquet(path) for path in sorted(source.glob("*.parquet"))]).to_parquet(one)
    model = PreparedModel(tiny_bundle.digest[:12], tiny_bundle, OnnxEngine(tiny_bundle), "int8")
    score_file(model, one, tmp_path / "expected.parquet")
    expected = pd.read_parquet(tmp_path / "expected.parquet")
    pd.testing.assert_frame_equal(found, expected, check_exact=True)
    assert report["truncated"] == expected["truncated"].sum()


def test_spark_submit_runs_the_script_with_the_master_that_it_names(
    source: Path, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    target = tmp_path / "scored"
    script = ROOT / "serving" / "bulk" / "spark_app.py"
    submit = [str(Path(sys.executable).parent / "spark-submit"), "--master", "local[2]", "--name", "submitted"]
    environment = os.environ | {
        "MODEL_URI": str(tiny_bundle.folder),
        "STATE_DIR": str(tmp_path / "state"),
        "PYSPARK_PYTHON": sys.executable,
        "PYTHONPATH": str(ROOT),
        "SPARK_LOCAL_IP": "127.0.0.1",
    }
    command = [*submit, str(script), str(source), str(target), "--part-rows", "4000"]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-3000:]
    # spark-submit prints lines of its own after it.
    report, _ = json.JSONDecoder().raw_decode(done.stdout[done.stdout.index("{") :])
    assert (report["rows"], report["parts"], report["scored_now"]) == (ROWS, 4, 4)
    assert sum(report["labels"].values()) == ROWS - sum(report["refused"].values()) == ROWS - 3
    assert pd.read_parquet(target)["row"].sort_values().tolist() == list(range(ROWS))
