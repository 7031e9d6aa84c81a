"""Which columns of a user's table are the text, the label, the rating and the review."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import pandas as pd

from components.datasets.files import SourceError
from components.datasets.labels import labels_of_ratings, map_spellings, votes_of_ratings
from feature_checks.contract import (
    COLUMNS_READ,
    GROUP_ID,
    LABEL,
    LABELLED_AT,
    PRODUCT,
    RATING,
    RATINGS,
    ROW_ID,
    SOURCE,
    SPLIT,
    TEXT,
)
from feature_checks.splits import group_of_text

COLUMNS: Final = (ROW_ID, TEXT, LABEL, GROUP_ID, SOURCE, SPLIT, RATING, RATINGS, PRODUCT, LABELLED_AT)
USUAL_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    TEXT: ("review", "review_text", "review_body", "content", "comment", "body", "sentence", "message"),
    LABEL: ("sentiment", "class", "polarity", "target"),
    RATING: ("stars", "star_rating", "score", "overall", "rate"),
    GROUP_ID: ("review_id",),
    PRODUCT: ("product_id", "product_title", "asin", "item_id"),
}
"""Column names that are found without being named, besides the contract's own; compared without case."""


@dataclass(frozen=True)
class SourceOptions:
    """How a user's table is read. An empty column name means: find the column by its usual names."""

    text_column: str = ""
    label_column: str = ""
    rating_column: str = ""
    """A column of ratings; used instead of a label column when it is named."""
    group_column: str = ""
    """A column of review ids: rows of one review stay in one split. Without one, copies of a text are one review."""
    rating_scale: str = "auto"
    """`-4..4`, `1..5`, or `auto`: stars where no rating is below 1."""
    neutral: str = "required"
    """What happens without neutral rows: `required` refuses the data, `from_default` adds the default data's neutral
    rows, `none` makes a model that never predicts neutral (and leaves neutral rows out)."""

    def given(self) -> dict[str, str]:
        """Return the options that are not the defaults, by their names as parameters of the training pipeline.

        Example: `SourceOptions(neutral="none").given()` is `{"neutral": "none"}`.
        """
        defaults = asdict(SourceOptions())
        return {name: value for name, value in asdict(self).items() if value != defaults[name]}


def contract_columns(frame: pd.DataFrame, name: str, options: SourceOptions) -> pd.DataFrame:
    """Return the table with the contract's columns, as far as it has them; the data check judges the values.

    `name` is used for row ids and for the source. Raises SourceError for a named column that does not exist, for
    several columns that could be meant, and for ratings outside their scale.

    Example: `contract_columns(frame, "reviews", SourceOptions(text_column="comment"))`.
    """
    rows = frame.reset_index(drop=True)
    rows.columns = [str(column) for column in rows.columns]
    used = chosen_columns(list(rows.columns), options)
    result = rows[[column for column in (ROW_ID, SOURCE, SPLIT, LABELLED_AT) if column in rows.columns]].copy()
    if TEXT in used:
        # A table of mixed types cannot be written as Parquet, and a number is a text too.
        result[TEXT] = [text if pd.isna(text) else str(text) for text in rows[used[TEXT]]]
    if RATING in used:
        result[RATING] = rows[used[RATING]]
    if LABEL in used:
        result[LABEL] = map_spellings(rows[used[LABEL]])
    elif RATING in used:
        result[LABEL] = labels_of_ratings(rows[used[RATING]], used[RATING], options.rating_scale)
    if RATINGS in rows.columns:
        result[RATINGS] = votes_of_ratings(rows[RATINGS], RATINGS, options.rating_scale)
    if PRODUCT in used:
        result[PRODUCT] = _groups(rows[used[PRODUCT]])
    if ROW_ID not in result.columns:
        result[ROW_ID] = [f"{name}:{number}" for number in rows.index]
    if SOURCE not in result.columns:
        result[SOURCE] = name
    result[GROUP_ID] = _groups(rows[used[GROUP_ID]]) if GROUP_ID in used else _groups_of_texts(result)
    result = result[[column for column in COLUMNS if column in result.columns]]
    # pandas keeps `attrs` in Parquet files too, so that the data check names the columns that people know.
    result.attrs[COLUMNS_READ] = list(rows.columns)
    return result


def chosen_columns(columns: Sequence[str], options: SourceOptions) -> dict[str, str]:
    """Return which column is read as the contract's text, label, rating and group; missing ones are left out."""
    if options.label_column and options.rating_column:
        raise SourceError("options", "label_column and rating_column are both named", "name only one of them")
    named = {
        TEXT: options.text_column,
        LABEL: options.label_column,
        RATING: options.rating_column,
        GROUP_ID: options.group_column,
    }
    for role, column in named.items():
        if column and column not in columns:
            option = f"{role.removesuffix('_id')}_column"
            raise SourceError(option, f"the data has no column {column!r}", f"choose one of {list(columns)}")
    used = {role: column or _find(role, columns) for role, column in named.items()}
    used[PRODUCT] = next((name for name in (PRODUCT, *USUAL_NAMES[PRODUCT]) if name in columns), "")
    if options.rating_column:
        del used[LABEL]
    elif used[LABEL] and used[RATING] != RATING:
        del used[RATING]
    return {role: column for role, column in used.items() if column}


def _find(role: str, columns: Sequence[str]) -> str:
    """Return the column with the contract's name, else the only one with a usual name, else an empty string."""
    if role in columns:
        return role
    usual = [
        column for column in columns if re.sub(r"[\s-]+", "_", column.strip().casefold()) in (role, *USUAL_NAMES[role])
    ]
    if len(usual) > 1:
        option = f"{role.removesuffix('_id')}_column"
        raise SourceError(
            "columns", f"{usual} could each be the {role.removesuffix('_id')}", f"name the right one with {option}"
        )
    return usual[0] if usual else ""


def _groups(groups: pd.Series[Any]) -> pd.Series[Any]:
    return groups.astype(object).where(groups.isna(), groups.astype(str))


def _groups_of_texts(rows: pd.DataFrame) -> list[str]:
    """Return the hash of each normalised text, so that copies of a text are always in one split."""
    texts = rows[TEXT] if TEXT in rows.columns else [None] * len(rows)
    return [
        group_of_text(text) if isinstance(text, str) else row_id
        for text, row_id in zip(texts, rows[ROW_ID], strict=True)
    ]
