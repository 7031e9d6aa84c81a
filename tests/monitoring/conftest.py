"""Real texts of two domains, windows made of them, and prediction logs."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from components.datasets import icwsm2014
from feature_checks.prediction_record import PREDICTIONS, describe, segment_path
from monitoring import drift_thresholds as thresholds
from monitoring.calibration.partitions import partition
from monitoring.drift_thresholds import Thresholds
from monitoring.windows.window import Window, known_columns

Rows = Sequence[dict[str, Any]]


@pytest.fixture(scope="session")
def limits() -> Thresholds:
    """The thresholds of the project."""
    return thresholds.load()


@pytest.fixture(scope="session")
def amazon(reviews: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A reference and a current window of product reviews, by review; the label stands in for a prediction."""
    return partition(reviews[["text", "label", "group_id"]], (1500, 500), seed=500)


@pytest.fixture(scope="session")
def tweets(data_cache: Path) -> pd.DataFrame:
    """Five hundred tweets."""
    return icwsm2014.load(["tweets"], data_cache)[["text", "label"]].sample(500, random_state=0)


@pytest.fixture(scope="session")
def window() -> Callable[..., Window]:
    """Return a function that makes a window of a frame."""

    def make(frame: pd.DataFrame, name: str = "w", **values: Any) -> Window:
        kept = [name for name in ("group_id", "source") if name in frame.columns]
        rows = known_columns(frame).assign(**{name: frame[name].to_numpy() for name in kept})
        return Window(name=name, frame=rows, total_rows=len(frame), random_part=rows, **values)

    return make


@pytest.fixture(scope="session")
def log_row() -> Callable[..., dict[str, Any]]:
    """Return a function that makes one line of the prediction log."""

    def make(request: str, item: int = 0, *, text: str | None = "a fine phone", **values: Any) -> dict[str, Any]:
        described = describe("a fine phone")._asdict()
        row = {"request_id": request, "item": item, "timestamp": "2026-11-22T11:00:00.000+00:00", "text": text}
        prediction = {"label": "positive", "confidence": 0.8, "probabilities": [0.1, 0.1, 0.8], "model_version": "3"}
        rest = {"cached": False, "latency_ms": 2.0, "protocol": "v2", "user_hash": ""}
        return row | described | prediction | rest | values

    return make


@pytest.fixture
def write_log(tmp_path: Path) -> Callable[..., str]:
    """Return a function that writes one segment of a prediction log and returns the log's folder."""
    segments = iter(range(1000))

    def write(rows: Rows, *, date: str = "2026-11-22", kind: Any = PREDICTIONS, tail: str = "") -> str:
        path = tmp_path / "log" / segment_path(kind, date, f"pod-{next(segments)}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows) + tail, encoding="utf-8")
        return str(tmp_path / "log")

    return write
