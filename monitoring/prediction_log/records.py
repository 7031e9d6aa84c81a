"""The records of a prediction log as monitoring reads them, and the order in which a sample takes them."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

from feature_checks.contract import LABEL, TEXT
from feature_checks.contract import LABELLED_AT as LABELLED_AT
from feature_checks.prediction_record import CONFIDENCE, LENGTH, NON_LETTERS, WORDS

Row = dict[str, Any]
"""One prediction: the members of FIELDS, None where the line lacks one."""

Key = tuple[str, int]
"""Request id and index of the text in the request."""

LABELLED_BY: Final = "labelled_by"
"""Column with the keyed hash of the user who gave a true label; empty if the user is unknown."""

FIELDS: Final = (
    "request_id",
    "item",
    "timestamp",
    "model_version",
    TEXT,
    LENGTH,
    WORDS,
    NON_LETTERS,
    LABEL,
    CONFIDENCE,
)
"""The members of a line that a window needs. The others are not read."""


def parse(line: bytes) -> Row | None:
    """Return the members of one line; None if it is not a valid record.

    A record is a JSON object in UTF-8 with `request_id` (string), `item` (whole number from 0) and `timestamp`
    (string), and its strings can be written as UTF-8.
    """
    try:
        row = json.loads(line)
        if b"\\u" in line:
            json.dumps(row, ensure_ascii=False).encode()  # half of a surrogate pair is no text
    except ValueError:
        return None
    identity = (row.get(name) for name in ("request_id", "item", "timestamp")) if isinstance(row, dict) else ()
    return row if [type(value) for value in identity] == [str, int, str] and row["item"] >= 0 else None


def key_of(row: Row) -> Key:
    """Return what identifies the text that a row belongs to."""
    return row["request_id"], row["item"]


def user_of(label: Row) -> str:
    """Return the keyed hash of the user who gave a label; empty if the user is unknown."""
    return str(label.get("user_hash") or "")


def by_time(row: Row) -> tuple[str, str, int]:
    """Return a row's sort key: its time, request id and item."""
    return row["timestamp"], row["request_id"], row["item"]


def sample_order(key: Key) -> str:
    """Return the place of a row in the order of every sample: SHA-256 of `request_id:item` in hex.

    DuckDB and Spark have the same function, so that the rows with the smallest values are the same in every engine.
    """
    return sampling_hash(f"{key[0]}:{key[1]}")


def sampling_hash(key: str) -> str:
    """Return the place of `request_id:item` in the order of every sample, as `sample_order` does."""
    return hashlib.sha256(key.encode()).hexdigest()
