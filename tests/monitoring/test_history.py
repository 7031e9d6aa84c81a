"""The history: one report for a window, every decision, in order."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from monitoring.history import History, Outcome
from monitoring.policy import Decision, Retraining
from tests.support.drift_reports import REPORT

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(str(tmp_path / "history"))


def test_an_empty_history(history: History) -> None:
    assert history.reports() == []
    assert history.last_retraining() is None


def test_a_judged_window_keeps_its_first_verdict_and_one_that_was_not_judged_may_get_one(history: History) -> None:
    empty = replace(REPORT, status="too_few_rows")
    assert history.add_report(empty, NOON) == empty
    assert history.add_report(REPORT, NOON + timedelta(minutes=5)) == REPORT
    assert history.add_report(replace(REPORT, drift=True), NOON + timedelta(hours=2)) == REPORT
    assert history.reports() == [REPORT]


def test_reports_are_in_the_order_of_their_windows_whenever_they_were_judged(history: History) -> None:
    days = [replace(REPORT, window=f"day {day}", end=f"2026-11-{day}T00:00:00.000+00:00") for day in (19, 20, 21)]
    for hours, made in enumerate([days[0], days[2], days[1]]):
        history.add_report(made, NOON + timedelta(hours=hours))
    history.add_report(replace(REPORT, window="a file"), NOON)
    assert [made.window for made in history.reports()] == ["day 19", "day 20", "day 21", "a file"]


def test_a_page_comes_back_as_it_was(history: History) -> None:
    history.add_page("first", "<!doctype html>Größe")
    assert history.page("first") == "<!doctype html>Größe"
    assert history.page("second") is None


def decide(history: History, action: str, hours: int, newest: str) -> None:
    moment = (NOON + timedelta(hours=hours)).isoformat()
    history.add_decision(Decision(action, ("why",), (newest,), moment, newest=newest, stored_labels=hours))  # type: ignore[arg-type]


def test_the_last_retraining_is_the_newest_decision_to_retrain_until_its_outcome_is_known(history: History) -> None:
    for hours, action in enumerate(["RETRAIN", "RETRAIN", "OK"]):
        decide(history, action, hours, f"w{hours}")
    assert history.last_retraining() == Retraining("w1", stored_labels=1)
    history.add_outcome(Outcome("4", False, "worse", "w3", (NOON + timedelta(hours=3)).isoformat()))
    assert history.last_retraining() == Retraining("w3", stored_labels=1, refused=True)
    decide(history, "RETRAIN", 5, "w5")
    assert history.last_retraining() == Retraining("w5", stored_labels=5)
    assert len(list(Path(history.url).glob("decisions/*.json"))) == 4
