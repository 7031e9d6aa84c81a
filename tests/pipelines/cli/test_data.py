"""`review-sentiment check` on a person's own files."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from typer.testing import CliRunner, Result

from pipelines.cli.main import app


def check(path: Path, frame: pd.DataFrame) -> Result:
    frame.to_csv(path, index=False)
    return CliRunner().invoke(app, ["check", str(path)], env={"COLUMNS": "200"})


def test_good_data_may_be_used(tmp_path: Path, state: Path, small_reviews: pd.DataFrame) -> None:
    del state
    result = check(tmp_path / "good.csv", small_reviews)
    assert result.exit_code == 0, result.output
    assert "480 rows" in result.output
    assert "The data may be used" in result.output


def test_data_without_a_class_is_refused_with_the_reason(
    tmp_path: Path, state: Path, small_reviews: pd.DataFrame
) -> None:
    del state
    result = check(tmp_path / "bad.csv", small_reviews[small_reviews["label"] != "neutral"])
    assert result.exit_code == 1
    assert "critical" in result.output
    assert "neutral" in result.output
    assert "Training would refuse the data" in result.output
