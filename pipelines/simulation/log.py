"""Writes a week of simulated traffic, and the labels that people give, in the format of the prediction log."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import pandas as pd

from feature_checks.classifier import Probabilities
from feature_checks.contract import LABELS, TEXT, Label
from feature_checks.prediction_record import (
    FEEDBACK,
    PREDICTIONS,
    FeedbackRecord,
    Kind,
    PredictionRecord,
    describe,
    segment_path,
)

WEEK: Final = timedelta(weeks=1)
HOURS: Final = 168.0


LABEL_STEP: Final = timedelta(minutes=10)
"""Time between two labels."""


class GivenLabel(NamedTuple):
    """A label that a person gives for a prediction."""

    request_id: str
    label: Label
    user: str


@dataclass(frozen=True)
class SimulatedLog:
    """A prediction log in a folder.

    Example: `SimulatedLog(Path("log")).add_predictions(week, probabilities, "1", start)`.
    """

    folder: Path

    def add_predictions(self, week: pd.DataFrame, probabilities: Probabilities, version: str, start: datetime) -> None:
        """Write one prediction for each row of a week, spread evenly over the week that begins at `start`."""
        records = []
        for number, (text, row) in enumerate(zip(week[TEXT], probabilities, strict=True)):
            moment = start + WEEK * (number + 0.5) / len(week)
            records.append(
                PredictionRecord(
                    request_id=f"{start:%Y%m%d}-{number}",
                    item=0,
                    timestamp=_time(moment),
                    text=text,
                    **_described(text),
                    label=LABELS[int(row.argmax())],
                    confidence=round(float(row.max()), 6),
                    probabilities=(float(row[0]), float(row[1]), float(row[2])),
                    latency_ms=4.0,
                    model_version=version,
                    cached=False,
                    protocol="v2",
                    user_hash="",
                )
            )
        self._write(PREDICTIONS, start, records)

    def add_labels(self, labels: Sequence[GivenLabel], start: datetime) -> None:
        """Write the labels that people give in the first days of the week that begins at `start`."""
        if labels:
            records = [FeedbackRecord(label.request_id, 0, _time(start + LABEL_STEP * number), label.label, label.user)
                       for number, label in enumerate(labels)]  # fmt: skip
            self._write(FEEDBACK, start, records)

    def _write(self, kind: Kind, moment: datetime, records: Sequence[Any]) -> None:
        path = self.folder / segment_path(kind, f"{moment:%Y-%m-%d}", f"simulation-{moment:%H%M%S}")
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = (json.dumps(_as_dict(record), ensure_ascii=False) for record in records)
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


@lru_cache(maxsize=20_000)  # The texts come again in other weeks and years.
def _described(text: str) -> dict[str, Any]:
    return describe(text)._asdict()


def _as_dict(record: Any) -> dict[str, Any]:
    """Return a record's fields; `dataclasses.asdict` copies every value, which takes longer than all the rest."""
    return {item.name: getattr(record, item.name) for item in fields(record)}


def _time(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")
