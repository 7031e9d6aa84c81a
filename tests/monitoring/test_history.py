"""The history: one report for a window, every decision, in order."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from monitoring.history import History
from monitoring.policy import Decision
from monitoring.report import DriftReport

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
REPORT = DriftReport(
    window="first",
    reference="reference",
    status="judged",
    drift=False,
    reasons=("quiet",),
    measurements=(),
    not_measured=("label",),
    reference_rows=1500,
    current_rows=500,
    reference_total=1500,
    current_total=900,
    labelled_rows=0,
    macro_f1_reference=None,
    macro_f1_current=None,
    model_versions=("3",),
    damaged_lines=0,
)


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(str(tmp_path / "history"))


def test_an_empty_history(history: History) -> None:
    assert history.reports() == []
    assert history.last_retraining() is None


def test_reports_come_back_in_the_order_in_which_their_windows_were_first_judged(history: History) -> None:
    history.add_report(REPORT, NOON)
    history.add_report(replace(REPORT, window="a second"), NOON + timedelta(hours=1))
    again = replace(REPORT, drift=True)
    history.add_report(again, NOON + timedelta(hours=2))
    assert history.reports() == [again, replace(REPORT, window="a second")]


def test_the_last_retraining_is_the_newest_decision_to_retrain(history: History) -> None:
    for hours, action in enumerate(["RETRAIN", "RETRAIN", "OK"]):
        moment = (NOON + timedelta(hours=hours)).isoformat()
        history.add_decision(Decision(action, ("why",), ("w",), moment))  # type: ignore[arg-type]
    assert history.last_retraining() == NOON + timedelta(hours=1)
    assert len(list(Path(history.url).glob("decisions/*.json"))) == 3
