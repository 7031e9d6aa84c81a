"""Defaults of the commands that run pipelines on this machine."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from monitoring import drift_thresholds
from pipelines.cli.loop import NEWEST_PREDICTIONS, monitoring_params
from pipelines.cli.main import app
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


def test_the_command_that_a_search_recommends_trains_on_the_same_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "options.txt").write_text("--param epochs=3", encoding="utf-8")
    finished = SimpleNamespace(output=lambda *_: tmp_path / "search.md", logs=tmp_path)
    monkeypatch.setattr("pipelines.display.runner.run_pipeline", lambda *_: finished)
    given = ["neutral=none", "text_column=my text", "base_model=/base", "trials=2", "seeds=1", "seed=4", "max_rows=9"]
    result = CliRunner().invoke(app, ["search", "my reviews.csv", *(f"--param={text}" for text in given)])
    assert result.exit_code == 0, result.output
    expected = (
        "review-sentiment train 'my reviews.csv' --param neutral=none --param 'text_column=my text' "
        "--param base_model=/base --param epochs=3"
    )
    assert expected in " ".join(result.output.split())
