"""Windows of the prediction log read by Spark are those that the other engines read."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from feature_checks.spark_session import spark_session
from monitoring.prediction_log.engine import LogEngine
from monitoring.prediction_log.lines_engine import LinesEngine
from monitoring.prediction_log.spark_engine import SparkEngine
from monitoring.windows.log_window import from_log, late_labels
from tests.support import odd_log

HOURS = (odd_log.END - odd_log.START) / timedelta(hours=1)


@pytest.fixture(scope="module")
def engine() -> Iterator[LogEngine]:
    session = spark_session("tests", cores=2)
    yield SparkEngine(session)
    session.stop()


@pytest.fixture
def log(tmp_path: Path) -> str:
    folder = tmp_path / "log [1]* of {a} host"
    for path, content in odd_log.files().items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return str(folder)


@pytest.mark.parametrize(
    "question",
    [
        {"hours": HOURS, "max_rows": 20},
        {"hours": HOURS, "max_rows": 10_000, "model_version": "1"},
        {"hours": 1e-9, "max_rows": 20},
        {"last_rows": 30, "max_rows": 10},
    ],
    ids=str,
)
def test_spark_gives_the_same_windows(log: str, engine: LogEngine, question: dict[str, Any]) -> None:
    expected, found = (from_log(log, end=odd_log.END, engine=one, **question) for one in (LinesEngine(), engine))
    for name in ("frame", "labelled", "random_part"):
        assert getattr(found, name).to_json(orient="table") == getattr(expected, name).to_json(orient="table")
    for name in ("name", "total_rows", "model_versions", "start", "end", "damaged_lines"):
        assert getattr(found, name) == getattr(expected, name)


def test_spark_finds_late_labels(log: str, engine: LogEngine) -> None:
    before = odd_log.END.isoformat(timespec="milliseconds")
    expected, found = (
        late_labels(log, since=odd_log.START, before=before, known=(), engine=one) for one in (LinesEngine(), engine)
    )
    assert len(found) == 10
    assert found.to_dict() == expected.to_dict()
