"""The HTML reports in a real browser without network: what a person sees who opens one offline."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from components import check, evaluate
from components.datasets import icwsm2014
from feature_checks import thresholds
from feature_checks.prediction_record import PREDICTIONS, describe, segment_path
from feature_checks.splits import assign_splits
from tests.support.browser import SIZES, Page

LOGGED_ROWS = 100_000
MAX_HTML_BYTES = 10_000_000
MAX_MEMORY_BYTES = 2 * 2**30
DETECTED = ("domain", "length", "words", "non_letters", "label", "confidence")


def log_rows(texts: Iterable[tuple[str, str]]) -> list[dict[str, Any]]:
    """Return a line of the prediction log for each text and label."""
    rest = {"item": 0, "confidence": 0.8, "probabilities": [0.1, 0.1, 0.8], "model_version": "3", "cached": False}
    rest |= {"latency_ms": 2.0, "protocol": "v2", "user_hash": ""}
    return [describe(text)._asdict() | rest | {"text": text, "label": label} for text, label in texts]


def write_log(folder: Path, rows: list[dict[str, Any]]) -> Path:
    """Write `LOGGED_ROWS` predictions, the rows over and over, as a server's log of ten segments."""
    moment = datetime.now(UTC).isoformat(timespec="milliseconds")
    lines = [json.dumps(row | {"request_id": "@", "timestamp": moment}) + "\n" for row in rows]
    for segment in range(10):
        path = folder / segment_path(PREDICTIONS, moment[:10], f"pod-{segment}")
        path.parent.mkdir(parents=True, exist_ok=True)
        numbers = range(segment, LOGGED_ROWS, 10)
        content = (lines[number % len(lines)].replace('"@"', f'"request-{number}"') for number in numbers)
        path.write_text("".join(content), encoding="utf-8")
    return folder


def report_command(*arguments: str | Path) -> tuple[dict[str, Any], int]:
    """Run `python -m monitoring report`; return its verdict and its peak memory in bytes."""
    command = [sys.executable, "-m", "monitoring", "report", *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return json.loads(output), usage.ru_maxrss * 1024


def assert_sound_everywhere(page: Page, report: Path) -> None:
    """Assert that a report is sound in both sizes and colour schemes, and that it loads nothing."""
    for width, scheme in SIZES:
        page.set_viewport(width)
        page.set_colour_scheme(scheme)
        page.open(report)
        page.assert_sound()
        assert page.resources() == []


@pytest.mark.timeout(300)
def test_a_report_over_a_large_log_is_small_and_draws_its_plots_offline(
    page: Page, reviews: pd.DataFrame, data_cache: Path, tmp_path: Path
) -> None:
    reference = tmp_path / "reference.parquet"
    reviews[["text", "label", "group_id"]].sample(1500, random_state=0).assign(confidence=0.8).to_parquet(reference)
    tweets = icwsm2014.load(["tweets"], data_cache).sample(500, random_state=0)
    folder = write_log(tmp_path / "log", log_rows(zip(tweets["text"], tweets["label"], strict=True)))
    output = tmp_path / "report"
    verdict, memory = report_command("--reference", reference, "--log", folder, "--hours", "24", "--output", output)
    assert (verdict["status"], verdict["drift"], verdict["current_total"]) == ("judged", True, LOGGED_ROWS)
    assert memory < MAX_MEMORY_BYTES
    html = output / "report.html"
    assert html.stat().st_size < MAX_HTML_BYTES
    assert_sound_everywhere(page, html)
    shown = page.find("main").text
    assert f"500 of {LOGGED_ROWS} rows" in shown
    captions = " ".join(figure.text for figure in page.find_all("figure.plot"))
    for detector in DETECTED:
        assert re.search(rf"\b{detector}\b", captions), captions
    page.set_viewport(1300)
    page.find("details summary").click()
    page.enter_frame("details iframe")
    page.wait_for_count(".js-plotly-plot", len(DETECTED))
    # In each plot at least the reference and the current window.
    page.wait_for_count(".js-plotly-plot .trace.scatter, .js-plotly-plot .trace.bars", 2 * len(DETECTED))
    assert page.console_errors() == []


def test_the_evaluation_is_a_page_that_opens_offline(
    page: Page, reviews: pd.DataFrame, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    reviews.groupby("split").head(150).to_parquet(tmp_path / "split.parquet")
    evaluate.evaluate(tiny_checkpoint, tmp_path / "split.parquet", tmp_path / "evaluation")
    assert_sound_everywhere(page, tmp_path / "evaluation" / "report.html")
    assert "macro-F1 of the VADER baseline" in page.find("main").text
    pictures = page.find_all("figure img")
    assert len(pictures) == 3
    assert all(picture.rect["width"] > 100 and picture.accessible_name for picture in pictures)


def test_the_data_check_is_a_page_that_opens_offline(
    page: Page, reviews: pd.DataFrame, small_reviews: pd.DataFrame, tmp_path: Path
) -> None:
    for name, frame in (("fit", reviews), ("unfit", assign_splits(small_reviews[small_reviews["label"] != "neutral"]))):
        frame.to_parquet(tmp_path / f"{name}.parquet")
        try:
            check.check(tmp_path / f"{name}.parquet", tmp_path / name, thresholds.load().check)
            passed = True
        except ValueError:
            passed = False
        assert passed is (name == "fit")
        assert_sound_everywhere(page, tmp_path / name / "report.html")
        verdict = page.find(".verdict").text
        assert verdict.startswith("The data may be used." if passed else "The data cannot be used")
