"""Defaults of the commands that run pipelines on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitoring import drift_thresholds
from pipelines.cli.loop import NEWEST_PREDICTIONS, monitoring_params
from pipelines.parameters import parse_parameters


def test_monitor_judges_the_newest_predictions_of_the_local_log(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREDICTION_LOG", raising=False)
    assert parse_parameters(monitoring_params([])) == {
        "log": str(state / "predictions"),
        "history": str(state / "drift" / "history"),
        "labelled": str(state / "drift" / "labelled.parquet"),
        "workspace": str(state / "evidently"),
        "rows": "500",
    }
    assert drift_thresholds.load().window.current_rows == NEWEST_PREDICTIONS


@pytest.mark.parametrize(("given", "rows"), [("hours=24", None), ("rows=200", "200"), ("log=s3://bucket/log", "500")])
def test_monitor_takes_what_it_is_given(given: str, rows: str | None, state: Path) -> None:
    del state
    parameters = parse_parameters(monitoring_params([given]))
    assert parameters.get("rows") == rows
    name, _, value = given.partition("=")
    assert parameters[name] == value
