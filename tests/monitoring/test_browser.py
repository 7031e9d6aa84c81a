"""The HTML reports in a headless browser that reaches no network: what a person sees who opens one offline."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from components import check, evaluate
from components.report import page
from feature_checks import thresholds
from feature_checks.prediction_record import PREDICTIONS, describe, segment_path

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--enable-logging=stderr"),
    # No name resolves, not even those the browser itself asks for.
    "--host-resolver-rules=MAP * ~NOTFOUND",
    # The page's own clock: it is dumped once its scripts have had so many milliseconds, however slow the machine is.
    "--virtual-time-budget=20000",
    "--dump-dom",
)
LOGGED_ROWS = 100_000
MAX_HTML_BYTES = 10_000_000
MAX_MEMORY_BYTES = 2 * 2**30


@dataclass(frozen=True)
class Rendered:
    """A page after its scripts have run."""

    dom: str
    console: list[str]
    """Lines that the page wrote, its errors among them; without Plotly's warnings."""
    requests: list[str]
    """URLs that the page, not the browser, asked for."""

    @property
    def words(self) -> str:
        """What is to be read on the page."""
        visible = re.sub(r"<(script|style)\b.*?</\1>", " ", self.dom, flags=re.DOTALL)
        return " ".join(re.sub(r"<[^>]+>", " ", visible).split())

    def assert_whole(self) -> None:
        """Nothing failed, and nothing was fetched from elsewhere: another host or another file."""
        assert (self.console, self.requests) == ([], [])
        assert not re.findall(r'<(?:script|img|iframe|link)\b[^>]*\s(?:src|href)="(?!data:)[^"]*"', self.dom)


def browse(path: Path, scratch: Path) -> Rendered:
    """Open a file in the browser; `scratch` is an empty folder for its profile."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    assert browser, f"no browser ({', '.join(BROWSERS)}) on this machine: apt-get install -y chromium"
    network = scratch / "network.json"
    command = [browser, *OPTIONS, f"--user-data-dir={scratch / 'profile'}", f"--log-net-log={network}", path.as_uri()]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    log = json.loads(network.read_text(encoding="utf-8"))
    started = log["constants"]["logEventTypes"]["URL_REQUEST_START_JOB"]
    jobs = [event["params"] for event in log["events"] if event["type"] == started and "url" in event.get("params", {})]
    # The browser's own requests have no initiator; a page opened from a file has the opaque one, "null".
    requests = [job["url"] for job in jobs if job["initiator"] != "not an origin"]
    console = [line.partition("] ")[2] for line in result.stderr.splitlines() if ":CONSOLE:" in line]
    # Plotly warns in this form when it moves a legend more than a few times; its errors have no such prefix.
    return Rendered(result.stdout, [line for line in console if not line.startswith('"WARN: ')], requests)


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
    """Run `python -m monitoring report`; return its verdict and the memory it took at most, in bytes."""
    command = [sys.executable, "-m", "monitoring", "report", *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return json.loads(output), usage.ru_maxrss * 1024


@pytest.mark.timeout(240)
def test_a_report_over_a_large_log_is_small_and_draws_its_plots_offline(
    amazon: tuple[pd.DataFrame, pd.DataFrame],
    tweets: pd.DataFrame,
    log_row: Callable[..., dict[str, Any]],
    tmp_path: Path,
) -> None:
    reference = tmp_path / "reference.parquet"
    amazon[0].assign(confidence=0.8).to_parquet(reference)
    rows = [
        log_row("@", **describe(text)._asdict(), text=text, label=label)
        for text, label in zip(tweets["text"], tweets["label"], strict=True)
    ]
    folder = write_log(tmp_path / "log", rows)
    verdict, memory = report_command(
        "--reference", reference, "--log", folder, "--hours", "24", "--output", tmp_path / "report"
    )
    assert (verdict["status"], verdict["drift"], verdict["current_total"]) == ("judged", True, LOGGED_ROWS)
    assert memory < MAX_MEMORY_BYTES
    html = tmp_path / "report" / "report.html"
    assert html.stat().st_size < MAX_HTML_BYTES
    shown = browse(html, tmp_path)
    shown.assert_whole()
    columns = ("domain_score", "length", "words", "non_letters", "label", "confidence")
    assert len(re.findall(r'class="[^"]*\bjs-plotly-plot\b', shown.dom)) == len(columns)
    # In each plot at least the reference and the current window.
    assert len(re.findall(r'class="trace (?:scatter|bars)\b', shown.dom)) >= 2 * len(columns)
    for column in columns:
        assert f"Drift in column '{column}'" in shown.words
    assert "Drift domain (partial_auc)" in shown.words
    assert f"500 of {LOGGED_ROWS} rows, against " in shown.words
    assert shown.words.count("Drift detection method: wasserstein normed") == 4


def test_the_evaluation_and_the_data_check_are_pages_that_open_offline(reviews: pd.DataFrame, tmp_path: Path) -> None:
    test = reviews[reviews["split"] == "test"].head(100)
    logits = np.random.default_rng(0).normal(size=(len(test), 3))
    html = tmp_path / "evaluation.html"
    html.write_text(page("Evaluation", evaluate.sections(evaluate.judge(test, logits, 1.0))), encoding="utf-8")
    shown = browse(html, tmp_path)
    shown.assert_whole()
    assert "VADER baseline macro-F1" in shown.words
    assert shown.dom.count('src="data:image/png;base64,iVBOR') == 2
    reviews.to_parquet(tmp_path / "reviews.parquet")
    check.check(tmp_path / "reviews.parquet", tmp_path / "check", thresholds.load().check)
    shown = browse(tmp_path / "check" / check.REPORT, tmp_path)
    shown.assert_whole()
    assert f"over {len(reviews)} rows. The data may be used." in shown.words


def test_the_browser_of_these_tests_sees_what_fails(tmp_path: Path) -> None:
    broken = tmp_path / "broken.html"
    broken.write_text(
        '<!doctype html><h1>Broken</h1><img src="https://elsewhere.example/picture.png">'
        '<script>setTimeout(() => { document.body.append("drawn late"); }, 5000);'
        'fetch("http://elsewhere.example/data").catch(() => 0); absent();</script>',
        encoding="utf-8",
    )
    shown = browse(broken, tmp_path)
    assert sorted(shown.requests) == ["http://elsewhere.example/data", "https://elsewhere.example/picture.png"]
    assert len(shown.console) == 1
    assert "ReferenceError: absent is not defined" in shown.console[0]
    assert shown.words == "Broken drawn late"
    with pytest.raises(AssertionError):
        shown.assert_whole()
