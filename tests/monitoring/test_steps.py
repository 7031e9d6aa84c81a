"""The steps of a monitoring run: repeated and late runs, retries, outcomes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from monitoring.history import History
from monitoring.steps import champion_window, decide, record_outcome
from tests.support.drift_reports import REPORT

MORNING = datetime(2026, 11, 23, 2, tzinfo=UTC)
Row = Callable[..., dict[str, Any]]


@pytest.fixture
def history(tmp_path: Path) -> History:
    """Two windows with drift, and labels."""
    history = History(str(tmp_path / "history"))
    for day in (20, 21):
        add_drift(history, day)
    return history


def add_drift(history: History, day: int) -> None:
    start, end = f"2026-11-{day}T00:00:00.000+00:00", f"2026-11-{day + 1}T00:00:00.000+00:00"
    made = replace(REPORT, window=f"day-{day}", start=start, end=end, drift=True, model_version="3", trainable_rows=400)
    history.add_report(made, MORNING)


def test_two_runs_minutes_apart_read_one_window(log_row: Row, write_log: Callable[..., str]) -> None:
    log = write_log([log_row("a"), log_row("b", model_version="2")])
    write_log([log_row("c", timestamp="2026-11-23T01:00:00.000+00:00")], date="2026-11-23")
    windows = [
        champion_window(log, hours=24, rows=0, model_version="3", now=MORNING + timedelta(minutes=late))
        for late in (0, 7, 600)
    ]
    assert {window.name for window in windows} == {"20261123T000000Z-24h-v3"}
    assert all(window.total_rows == 1 for window in windows)
    assert (windows[0].start, windows[0].end) == ("2026-11-22T00:00:00.000+00:00", "2026-11-23T00:00:00.000+00:00")


def test_a_retry_gets_the_decision_of_its_run_and_another_run_does_not_retrain_again(history: History) -> None:
    first = decide(history.url, run="run-1")
    assert (first.action, first.newest) == ("RETRAIN", "day-21")
    assert decide(history.url, run="run-1") == first
    again = decide(history.url, run="run-2")
    assert again.action == "WATCH"
    assert again.reasons[-1] == (
        "windows judged since the last retraining (window day-21): 0; another retraining needs 3"
    )
    assert len(history.decisions()) == 2


def test_the_cooldown_starts_at_the_outcome(history: History) -> None:
    assert decide(history.url, run="run-1").action == "RETRAIN"
    for day in (22, 23):
        add_drift(history, day)
    outcome = record_outcome(history.url, version="4", promoted=False, reason="the gate refused it")
    assert (outcome.newest, history.outcomes()) == ("day-23", [outcome])
    for day in (24, 25):
        add_drift(history, day)
        assert decide(history.url, run=f"run-{day}").action == "WATCH"
    add_drift(history, 26)
    assert decide(history.url, run="run-26").action == "RETRAIN"


def test_a_repeated_window_adds_no_vote(tmp_path: Path) -> None:
    history = History(str(tmp_path / "history"))
    for _ in range(3):
        add_drift(history, 20)
        assert decide(history.url).action == "WATCH"
    assert len(history.reports()) == 1
