"""Chooses the rows that people should label: a random part, uncertain predictions and texts of a new domain."""

from __future__ import annotations

from typing import Final

import fsspec
import pandas as pd

from feature_checks.contract import LABEL, ROW_ID, TEXT
from feature_checks.prediction_record import CONFIDENCE, TRUE_LABEL
from monitoring.drift.detectors import DOMAIN_SCORE

WHY: Final = "why"
ROWS_PER_REASON: Final = 50


def ask_for_labels(current: pd.DataFrame, random_part: pd.DataFrame, count: int = ROWS_PER_REASON) -> pd.DataFrame:
    """Return the rows of a window to label: ROW_ID, TEXT, LABEL (predicted), CONFIDENCE and WHY.

    WHY is `random` for the unlabelled rows of the random part, which give an unbiased macro-F1; `drifted` for the
    `count` texts that resemble the reference window least; `uncertain` for the `count` predictions with the lowest
    confidence. A row is listed once. A window without texts has no rows to label.

    Example: `ask_for_labels(comparison.current, window.random_part)`.
    """
    columns = [ROW_ID, TEXT, LABEL, CONFIDENCE, WHY]
    if not {ROW_ID, TEXT} <= set(current.columns) or ROW_ID not in random_part.columns:
        return pd.DataFrame(columns=columns)
    unlabelled = current[current[TRUE_LABEL].isna()] if TRUE_LABEL in current.columns else current
    parts = [unlabelled[unlabelled[ROW_ID].isin(random_part[ROW_ID])].assign(**{WHY: "random"})]
    if DOMAIN_SCORE in unlabelled.columns:
        parts.append(unlabelled.nlargest(count, DOMAIN_SCORE).assign(**{WHY: "drifted"}))
    if CONFIDENCE in unlabelled.columns:
        parts.append(unlabelled.nsmallest(count, CONFIDENCE).assign(**{WHY: "uncertain"}))
    return pd.concat(parts).drop_duplicates(ROW_ID).reindex(columns=columns).reset_index(drop=True)


def write_requests(requests: pd.DataFrame, url: str) -> None:
    """Write the rows to label as JSONL to a path or fsspec URL. The file holds review texts."""
    with fsspec.open(url, "wt", encoding="utf-8", auto_mkdir=True) as file:
        requests.to_json(file, orient="records", lines=True, force_ascii=False)
