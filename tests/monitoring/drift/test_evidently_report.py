"""The written report: it agrees with the verdict, opens offline, and holds no text."""

from __future__ import annotations

import gc
import html
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest

from monitoring.drift import evidently_report, report_page
from monitoring.drift.comparison import Comparison, compare
from monitoring.drift_thresholds import Thresholds
from monitoring.windows.window import Window
from tests.support.ports import free_port

MAX_HTML_BYTES = 10_000_000


@pytest.fixture(scope="module")
def comparison(
    amazon: tuple[pd.DataFrame, pd.DataFrame],
    tweets: pd.DataFrame,
    window: Callable[..., Window],
    limits: Thresholds,
) -> Comparison:
    return compare(window(amazon[0], "reference"), window(tweets, "tweets"), limits)


@pytest.fixture(scope="module")
def folder(comparison: Comparison, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    report_page.write_report(comparison, folder, str(folder / "workspace"))
    return folder


def test_evidently_and_the_verdict_agree(comparison: Comparison, folder: Path) -> None:
    snapshot = json.loads((folder / "evidently.json").read_text(encoding="utf-8"))
    scores = {metric["config"]["column"]: metric["value"] for metric in snapshot["metrics"]}
    failed = {test["name"].rsplit(" ", 1)[1] for test in snapshot["tests"] if test["status"] == "FAIL"}
    assert len(scores) == len(comparison.report.measurements) == 6
    for one in comparison.report.measurements:
        column = "domain_score" if one.detector == "domain" else one.detector
        assert scores[column] == pytest.approx(one.score)
        assert (column in failed) == one.alarm


def test_the_html_is_small_and_needs_no_network(folder: Path) -> None:
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert len(page.encode()) < MAX_HTML_BYTES
    assert not re.findall(r'<(?:script|img|iframe)[^>]*\ssrc="(?!data:)|<link[^>]*\shref="(?!data:)', page)
    assert '<p class="verdict bad">Drift: this window differs from the reference window</p>' in page
    assert '<th scope="row">Detectors without data</th><td>confidence</td>' in page
    assert "unknown (0 labelled rows)" in page
    assert '<th scope="row">Accuracy to expect without labels</th><td>withheld: in a window with drift' in page
    assert "domain (partial_auc)" in page


def test_every_detector_has_a_row_and_a_plot_of_both_windows(comparison: Comparison, folder: Path) -> None:
    page = (folder / "report.html").read_text(encoding="utf-8").partition("<iframe")[0]
    measurements = comparison.report.measurements
    assert [page.count(name) for name in (">alarm<", ">no alarm<")] == [
        sum(measurement.alarm is alarm for measurement in measurements) for alarm in (True, False)
    ]
    figures = re.findall(r'<figure class="plot"><svg[^>]* aria-label="(\w+)">(.*?)</svg>', page)
    assert [name for name, _ in figures] == [measurement.detector for measurement in measurements]
    for name, drawing in figures:
        bars = 3 if name == "label" else 20
        assert (drawing.count('class="before"'), drawing.count('class="now"')) == (bars, bars)


def test_the_interactive_report_is_inside_the_page(folder: Path) -> None:
    page = (folder / "report.html").read_text(encoding="utf-8")
    (inner,) = re.findall(r'<iframe [^>]*srcdoc="([^"]*)"></iframe>', page)
    evidently = html.unescape(inner)
    assert evidently.lstrip().startswith("<!DOCTYPE html>")
    assert "plotly" in evidently
    assert "<script src" not in evidently


def test_no_text_is_in_any_file(comparison: Comparison, folder: Path) -> None:
    everything = "".join(path.read_text(errors="replace") for path in folder.rglob("*") if path.is_file())
    texts = [text for frame in (comparison.reference, comparison.current) for text in frame["text"] if len(text) > 30]
    assert len(texts) > 1000
    assert not [text for text in texts if text[:25] in everything]


def test_the_report_is_in_the_workspace(folder: Path) -> None:
    from evidently.ui.workspace import Workspace

    workspace = Workspace.create(str(folder / "workspace"))
    (project,) = workspace.search_project(evidently_report.PROJECT)
    assert len(workspace.list_runs(project.id)) == 1


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # Evidently's client never closes its connections
def test_a_running_evidently_takes_the_report_over_http(comparison: Comparison, tmp_path: Path) -> None:
    from evidently.ui.workspace import RemoteWorkspace, Workspace

    port = free_port()
    evidently = str(Path(sys.executable).with_name("evidently"))
    command = [evidently, "ui", "--workspace", str(tmp_path / "pages"), "--port", str(port)]
    log = tmp_path / "evidently.log"
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            address, ends = f"http://127.0.0.1:{port}", time.monotonic() + 60
            while not _answers(address):
                assert process.poll() is None and time.monotonic() < ends, log.read_text()
                time.sleep(0.1)
            report_page.write_report(comparison, tmp_path / "report", address)
            report_page.write_report(comparison, tmp_path / "report", address)
            (project,) = RemoteWorkspace(address).search_project(evidently_report.PROJECT)
        finally:
            process.terminate()
    assert len(Workspace.create(str(tmp_path / "pages")).list_runs(project.id)) == 2
    del project
    gc.collect()  # here, where the warning about them is let pass


def _answers(address: str) -> bool:
    try:
        return httpx.get(address + "/api/version").status_code == 200
    except httpx.TransportError:
        return False


def test_a_window_that_was_not_judged_has_a_page_too(
    window: Callable[..., Window], limits: Thresholds, tmp_path: Path
) -> None:
    empty: Any = window(pd.DataFrame({"text": []}), "<empty>")
    page = report_page.write_report(compare(empty, empty, limits), tmp_path).read_text(encoding="utf-8")
    assert "Not judged: too few rows" in page
    assert "&lt;empty&gt;" in page
    assert json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["drift"] is False
