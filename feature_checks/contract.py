"""What training, serving and monitoring agree on: labels, columns and the one text normalisation."""

from __future__ import annotations

import re
import unicodedata
from typing import Final, Literal, get_args

from feature_checks.combining_marks import divide_runs

CONTRACT_VERSION: Final = "1"
"""Changes when a bundle made before the change would be served wrongly after it."""

Label = Literal["negative", "neutral", "positive"]
LABELS: Final[tuple[Label, ...]] = get_args(Label)
"""Label order of every probability vector: index 0 negative, 1 neutral, 2 positive."""

MODEL_NAME: Final = "review-sentiment"
"""The registered model's name in MLflow."""

# Columns of a data set. Required: text and label. The others are made by `ingest` where the source lacks them.
TEXT: Final = "text"
LABEL: Final = "label"
RATING: Final = "rating"
GROUP_ID: Final = "group_id"
ROW_ID: Final = "row_id"
SOURCE: Final = "source"
SPLIT: Final = "split"
RATINGS: Final = "ratings"
COLUMNS_READ: Final = "columns_read"
"""Key in the `attrs` of a table that was read from own data: its columns before they were renamed."""
PRODUCT: Final = "product"
"""What a review is about, where the data says it; the model does not read it."""
LABELLED_AT: Final = "labelled_at"
"""When the true label of a logged prediction was given (UTC, ISO 8601)."""

FEEDBACK_SOURCE: Final = "feedback"
"""The source of rows that were answered by a model and labelled afterwards."""

Split = Literal["train", "validation", "test"]
SPLITS: Final[tuple[Split, ...]] = get_args(Split)

MAX_TEXT_CHARS: Final = 20_000
"""Longest text accepted anywhere. The model reads fewer at once; `max_length` in the bundle says how many tokens."""

MAX_LENGTH: Final = 256
"""Tokens that a newly trained model reads at once. Training cuts longer rows; serving reads them in windows."""

_WHITESPACE = re.compile(r"\s+")
_INVISIBLE = re.compile(r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u200b-\u200d\u2060\ufeff]")


def normalise(text: str) -> str:
    """Return the text as the model reads it: control and zero-width characters dropped, NFC, one space between words.

    Runs of more than 30 combining marks are divided as UAX #15 (Stream-Safe Text Format) says; no language has such
    runs. The function is idempotent. Training and serving both call it, so that a text is tokenised and cached the
    same way everywhere.

    Example: `normalise("  so\\n good ")` is `"so good"`.
    """
    if text.isascii() and text.isprintable() and "  " not in text:
        return text.strip(" ")
    visible = _INVISIBLE.sub("", text)
    return _WHITESPACE.sub(" ", unicodedata.normalize("NFC", divide_runs(visible))).strip()


def label_of_rating(mean_rating: float) -> Label:
    """Return the label of a mean rating in −4…4: positive from 0.5 up, negative from −0.5 down, else neutral.

    The cut of Hutto & Gilbert (ICWSM 2014) data as this project defines it.
    """
    if mean_rating >= 0.5:
        return "positive"
    return "negative" if mean_rating <= -0.5 else "neutral"
