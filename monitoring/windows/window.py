"""A window of predictions: the sample that is compared, and the labelled rows among the window's predictions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import pandas as pd

from feature_checks.contract import LABEL, TEXT
from feature_checks.prediction_record import (
    CONFIDENCE,
    HASH_PREFIX,
    LENGTH,
    NON_LETTERS,
    TRUE_LABEL,
    WORDS,
    Descriptors,
    describe,
)

COLUMNS: Final = (TEXT, LENGTH, WORDS, NON_LETTERS, LABEL, CONFIDENCE, TRUE_LABEL)
MAX_LABELLED: Final = 10_000
"""At most this many labelled rows of one window are kept."""


class WindowError(ValueError):
    """A window cannot be read. The message names the file or column, what was found and what was expected."""


@dataclass(frozen=True)
class Window:
    """A sample of predictions, with the labelled rows and the number of rows that the sample was drawn from."""

    name: str
    """Identifies the window: reports and decisions are kept under this name."""
    frame: pd.DataFrame
    """The sample (n rows), with those of COLUMNS that are known."""
    total_rows: int
    """Number of rows that the sample was drawn from."""
    labelled: pd.DataFrame = field(default_factory=pd.DataFrame)
    """Rows with a true label (`true_label`), with their texts if the log keeps texts."""
    labels: pd.DataFrame = field(default_factory=pd.DataFrame)
    """The labelled rows again, once for each user who gave a label. Empty for a file."""
    model_versions: tuple[str, ...] = ()
    """Versions of the model that made the predictions."""
    model_version: str = ""
    """The only model version whose predictions the window holds; empty if it holds those of every version."""
    start: str = ""
    """Start of the window (UTC, ISO 8601); empty for a file."""
    end: str = ""
    """End of the window (UTC, ISO 8601); predictions at this time belong to the next window. Empty for a file."""
    random_part: pd.DataFrame = field(default_factory=pd.DataFrame)
    """Rows chosen at random, with `true_label` if it is known. Macro-F1 is estimated on them alone, because people
    choose the other rows that they label."""
    damaged_lines: int = 0
    """Number of log lines that are not valid records. A process that is killed can leave one such line."""


def known_columns(frame: pd.DataFrame) -> pd.DataFrame:
    """Return those of COLUMNS that the frame has, and compute missing descriptors from the text.

    If every text was hashed or dropped, the result has no `text` column. Other values are not changed: the check of
    the window judges them.

    Example: `known_columns(pd.DataFrame({"text": ["It works."]}))` has `length`, `words` and `non_letters` too.
    """
    rows = frame[[name for name in COLUMNS if name in frame.columns]].reset_index(drop=True)
    if TEXT in rows.columns and _is_without_text(rows[TEXT]):
        rows = rows.drop(columns=TEXT)
    if TEXT in rows.columns and not {LENGTH, WORDS, NON_LETTERS} <= set(rows.columns):
        described = [describe(text if isinstance(text, str) else "") for text in rows[TEXT]]
        rows[list(Descriptors._fields)] = pd.DataFrame(described, columns=list(Descriptors._fields))
    return rows


def _is_without_text(texts: pd.Series[Any]) -> bool:
    absent = texts.isna() | texts.astype(str).str.startswith(HASH_PREFIX)
    return bool(len(texts) and absent.all())
