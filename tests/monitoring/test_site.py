"""The site of the drift history: written from a real history, every window on it, every link leads somewhere."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from monitoring.drift.detectors import Measurement
from monitoring.drift.drift_report import DriftReport
from monitoring.history import History, Outcome
from monitoring.policy import Decision
from monitoring.site import write_site

START = datetime(2026, 10, 1, tzinfo=UTC)
KINDS = "...x.dde..."
"""One letter for each window: quiet, drift, invalid, too few rows (e)."""
STATUS = {"x": "invalid", "e": "too_few_rows"}


def report(index: int, kind: str) -> DriftReport:
    judged = kind in ".d"
    scores = {"domain": 0.52 + 0.002 * index + 0.3 * (kind == "d"), "words": 0.1 + 0.01 * index}
    measurements = tuple(
        Measurement(name, "text", "partial_auc", score, threshold, score >= threshold)
        for (name, score), threshold in zip(scores.items(), (0.566, 0.229), strict=True)
    )
    return DriftReport(
        window=f"{START + timedelta(days=index):%Y%m%dT%H%M%SZ}-24h-v{3 + (index > 7)}",
        reference="reference-0a1b2c3d4e5f",
        status=STATUS.get(kind, "judged"),  # type: ignore[arg-type]
        drift=kind == "d",
        reasons=(f"<reason {index}>",),
        measurements=measurements if judged else (),
        not_measured=("confidence",),
        reference_rows=467,
        current_rows=500,
        reference_total=467,
        current_total=5000 + index,
        labelled_rows=200 if judged else 0,
        macro_f1_reference=0.76 if judged else None,
        macro_f1_current=0.75 - 0.1 * (kind == "d") if judged else None,
        macro_f1_interval=(0.6, 0.81) if judged else None,
        expected_accuracy=0.79 if kind == "." else None,
        expected_accuracy_interval=(0.74, 0.83) if kind == "." else None,
        model_versions=("4" if index > 7 else "3",),
        damaged_lines=0,
    )


REPORTS = [report(index, kind) for index, kind in enumerate(KINDS)]


class Page(HTMLParser):
    """Collects the links, the identifiers and the words of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.identifiers: list[str] = []
        self.words = ""
        self.figures: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.identifiers += [values["id"]] if values.get("id") else []  # type: ignore[list-item]
        self.links += [values["href"]] if values.get("href") else []  # type: ignore[list-item]
        if tag == "svg":
            self.figures.append(str(values["aria-label"]))

    def handle_data(self, data: str) -> None:
        self.words += data + " "


@pytest.fixture
def history(tmp_path: Path) -> History:
    history = History(str(tmp_path / "history"))
    for index, made in enumerate(REPORTS):
        history.add_report(made, START + timedelta(days=index))
        if made.status == "judged":
            history.add_page(made.window, f"<!doctype html><title>Report {index}</title>")
        action = "RETRAIN" if index == 6 else "WATCH" if made.status != "judged" or made.drift else "OK"
        moment = (START + timedelta(days=index, hours=1)).isoformat()
        history.add_decision(Decision(action, (f"reason {index}",), (), moment, made.window))  # type: ignore[arg-type]
    history.add_outcome(Outcome("4", True, "the gate accepted it", REPORTS[7].window, START.isoformat()))
    return history


def test_every_window_is_on_the_site_and_every_link_leads_somewhere(history: History, tmp_path: Path) -> None:
    index = write_site(history.url, tmp_path / "site")
    page = Page(index)
    assert index == tmp_path / "site" / "index.html"
    for made in REPORTS:
        assert f"window-{made.window}" in page.identifiers
        assert f"#window-{made.window}" in page.links
    for target in page.links:
        if target.startswith("#"):
            assert unquote(target[1:]) in page.identifiers
        else:
            assert (index.parent / unquote(target)).is_file()
    files = {path.name for path in (index.parent / "reports").iterdir()}
    assert files == {f"{made.window}.html" for made in REPORTS if made.status == "judged"}
    assert "Report 5" in (index.parent / "reports" / f"{REPORTS[5].window}.html").read_text(encoding="utf-8")


def test_the_site_tells_verdicts_decisions_detectors_and_macro_f1(history: History, tmp_path: Path) -> None:
    index = write_site(history.url, tmp_path / "site")
    page, source = Page(index), index.read_text(encoding="utf-8")
    assert page.figures == ["domain", "words", "macro-F1", "accuracy"]
    squares = re.findall(r'<li><a class="([^"]*)" href="#window', source)
    colours = {".": "good", "d": "bad", "x": "watch", "e": "watch"}
    assert squares == [colours[kind] + " retrained" * (index == 6) for index, kind in enumerate(KINDS)]
    assert "Latest decision: OK reason 10." in " ".join(page.words.split())
    # The two alarms of the detector `domain` are red dots; a new model version interrupts each line once.
    assert source.count('class="alarm"') == 2
    assert source.count('class="champion"') == 4
    assert page.words.count("0.790 (0.740 to 0.830)") == KINDS.count(".")
    assert page.words.count("withheld: in a window with drift") == KINDS.count("d")
    assert "0.650" in page.words
    assert source.count('class="interval"') == 2 * KINDS.count(".") + KINDS.count("d")
    assert "the gate accepted it" in page.words
    assert "&lt;reason 6&gt;" in source and "<reason" not in source


def test_the_site_needs_no_network(history: History, tmp_path: Path) -> None:
    source = write_site(history.url, tmp_path / "site").read_text(encoding="utf-8")
    assert not re.findall(r"https?://|<script|<link|@import|url\(", source)


def test_what_a_history_lacks_is_said_in_words_and_not_by_an_empty_table(tmp_path: Path) -> None:
    kept = History(str(tmp_path / "history"))
    kept.add_report(report(0, "x"), START)
    index = write_site(str(tmp_path / "history"), tmp_path / "site").read_text(encoding="utf-8")
    assert "No window has been measured." in index
    assert "No decision has been recorded." in index
    assert "Decisions, newest first" not in index


def test_a_long_name_of_a_window_is_cut_visibly_below_a_plot(tmp_path: Path) -> None:
    kept = History(str(tmp_path / "history"))
    kept.add_report(replace(report(0, "."), window="today.jsonl"), START)
    kept.add_report(replace(report(1, "."), window="reviews-of-the-last-month.jsonl"), START + timedelta(days=1))
    index = write_site(str(tmp_path / "history"), tmp_path / "site").read_text(encoding="utf-8")
    assert ">today.jsonl</text>" in index
    assert ">reviews-of-the-last…</text>" in index


def test_an_empty_history_has_a_site_too(tmp_path: Path) -> None:
    index = write_site(str(tmp_path / "none"), tmp_path / "site")
    assert "No window has been judged yet." in Page(index).words


def test_the_threshold_of_a_first_window_can_be_seen(tmp_path: Path) -> None:
    History(str(tmp_path / "one")).add_report(REPORTS[0], START)
    path = write_site(str(tmp_path / "one"), tmp_path / "site")
    page = path.read_text(encoding="utf-8")
    lines = re.findall(r'<polyline class="threshold" points="([\d.]+),([\d.]+) ([\d.]+),([\d.]+)"/>', page)
    assert len(lines) == 2
    for left, start, right, end in lines:
        assert float(right) - float(left) >= 40
        assert start == end
    assert "0 alarms in 1 window<" in page
