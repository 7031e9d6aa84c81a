"""The suite of expectations that a data set of reviews must meet before a model is trained on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import great_expectations.expectations as gxe
import pandas as pd

from feature_checks.contract import (
    COLUMNS_READ,
    GROUP_ID,
    LABEL,
    LABELS,
    MAX_TEXT_CHARS,
    ROW_ID,
    SPLIT,
    SPLITS,
    TEXT,
    normalise,
)
from feature_checks.expectations.suite import CheckReport, validate
from feature_checks.splits import assign_splits
from feature_checks.thresholds import CheckThresholds

# U+FFFD, and UTF-8 read as Latin-1 or Windows-1252 ("Ã©", "â€™", "Â£").
DAMAGED: Final = "\ufffd|Ã[\x80-\xbf€-™]|â€.|Â[\xa0-\xbf]"

_COLUMN_REMEDIES: Final = {
    TEXT: "Name the column that holds the texts with text_column.",
    LABEL: "Name the column that holds the labels with label_column, or the ratings with rating_column.",
    GROUP_ID: "Name the column that holds the review ids with group_column.",
    ROW_ID: "Read the data with the ingest step, which numbers the rows.",
}
_DERIVED: Final = {
    "visible_chars": TEXT,
    "copies": TEXT,
    "class_share": LABEL,
    "labels_of_text": LABEL,
    "splits_of_text": SPLIT,
    "splits_of_review": SPLIT,
}
"""The data's own column that each derived column is about."""
_NEUTRAL_REMEDY: Final = (
    "Choose neutral=from_default to add the neutral rows of the default data, or neutral=none for a model that never "
    "predicts neutral."
)


class DataCheckError(ValueError):
    """The data set must not be used; the message lists every failure with its rows."""

    def __init__(self, report: CheckReport) -> None:
        super().__init__("the data check failed:\n" + "\n".join(f"  - {failure}" for failure in report.failures))
        self.report = report


def check_reviews(frame: pd.DataFrame, limits: CheckThresholds, labels: Sequence[str] = LABELS) -> CheckReport:
    """Check a data set of reviews: first its columns, then (if every column is there) the values.

    `labels` are the classes that must occur, in contract order.

    Example: `check_reviews(frame, thresholds.load().check).passed`.
    """
    schema = validate(frame, _schema_suite(frame))
    if not schema.passed:
        return schema
    values = validate(_with_derived_columns(frame), _value_suite(frame, limits, labels))
    findings = (replace(finding, column=_DERIVED.get(finding.column, finding.column)) for finding in values.findings)
    return CheckReport(len(frame), schema.expectations + values.expectations, tuple(findings))


def _schema_suite(frame: pd.DataFrame) -> list[gxe.Expectation]:
    columns = frame.attrs.get(COLUMNS_READ, [str(column) for column in frame.columns])
    return [
        gxe.ExpectColumnToExist(
            column=name, meta=_note(f"the column {name!r} is required", _COLUMN_REMEDIES[name]) | {"columns": columns}
        )
        for name in (TEXT, LABEL, GROUP_ID, ROW_ID)
    ]


def _with_derived_columns(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a copy with the columns that single-column expectations need; the data itself is untouched."""
    texts = frame[TEXT].fillna("").astype(str).map(normalise)
    splits = assign_splits(frame)[SPLIT]
    share = frame[LABEL].map(frame[LABEL].value_counts(normalize=True)).fillna(0.0)
    present = texts != ""
    return frame.assign(
        **{SPLIT: splits},
        visible_chars=texts.str.len(),
        class_share=share.astype(float),
        copies=texts.groupby(texts).transform("size").where(present, 1),
        labels_of_text=frame[LABEL].groupby(texts).transform("nunique").where(present, 1),
        splits_of_text=splits.groupby(texts).transform("nunique").where(present, 1),
        splits_of_review=splits.groupby(frame[GROUP_ID].astype(str)).transform("nunique"),
    )


def _value_suite(frame: pd.DataFrame, limits: CheckThresholds, labels: Sequence[str]) -> list[gxe.Expectation]:
    missing = set(labels) - set(frame[LABEL].dropna())
    return [*_table_rules(limits), *_text_rules(limits), *_label_rules(limits, list(labels), missing), *_split_rules()]


def _table_rules(limits: CheckThresholds) -> list[gxe.Expectation]:
    return [
        gxe.ExpectTableRowCountToBeBetween(
            min_value=limits.min_rows,
            meta=_note(f"at least {limits.min_rows} rows are needed to train and to judge", "Add labelled reviews."),
        ),
        gxe.ExpectColumnValuesToNotBeNull(
            column=GROUP_ID,
            meta=_note("every row must name its review", "Fill the column, or remove it: then each text is a review."),
        ),
        gxe.ExpectColumnValuesToBeUnique(
            column=ROW_ID,
            meta=_note("a row id must name one row", "Make the ids unique, or remove the column: rows are numbered."),
        ),
    ]


def _text_rules(limits: CheckThresholds) -> list[gxe.Expectation]:
    return [
        gxe.ExpectColumnValuesToNotBeNull(
            column=TEXT, meta=_note("a text must not be null", "Fill in the text, or remove the rows.")
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="visible_chars",
            min_value=1,
            meta=_note("a text must not be empty or blank", "Fill in the text, or remove the rows."),
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="visible_chars",
            max_value=MAX_TEXT_CHARS,
            meta=_note(f"a text has at most {MAX_TEXT_CHARS} characters", "Shorten or split the text."),
        ),
        *_encoding_rules(limits),
        *_copy_rules(limits),
    ]


def _encoding_rules(limits: CheckThresholds) -> list[gxe.Expectation]:
    damaged: dict[str, Any] = {"column": TEXT, "regex": DAMAGED}
    remedy = "Export the data again as UTF-8."
    return [
        gxe.ExpectColumnValuesToNotMatchRegex(
            **damaged,
            mostly=1 - limits.max_damaged_share,
            meta=_note(f"at most {limits.max_damaged_share:.0%} of texts may be damaged in encoding", remedy),
        ),
        gxe.ExpectColumnValuesToNotMatchRegex(
            **damaged, severity="warning", meta=_note("the text's encoding is damaged", remedy)
        ),
    ]


def _copy_rules(limits: CheckThresholds) -> list[gxe.Expectation]:
    copies: dict[str, Any] = {"column": "copies", "max_value": 1}
    return [
        gxe.ExpectColumnValuesToBeBetween(
            **copies,
            mostly=1 - limits.max_duplicate_share,
            meta=_note(
                f"at most {limits.max_duplicate_share:.0%} of rows may repeat a text",
                "Keep one row of each text, with one label.",
            ),
        ),
        gxe.ExpectColumnValuesToBeBetween(
            **copies,
            severity="warning",
            meta=_note("the text stands in another row too", "Keep one row of each text where it is a mere copy."),
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="labels_of_text",
            max_value=1,
            severity="warning",
            meta=_note("the same text has two labels", "Decide on one label for the text."),
        ),
    ]


def _label_rules(limits: CheckThresholds, labels: list[str], missing: set[str]) -> list[gxe.Expectation]:
    spelling = _note(
        f"a label must be one of {labels}", f"Write the labels as {labels}, 0 and 1, or stars from 1 to 5."
    )
    class_remedy = _NEUTRAL_REMEDY if missing == {"neutral"} else "Add rows of the missing classes."
    return [
        gxe.ExpectColumnValuesToNotBeNull(column=LABEL, meta=spelling),
        gxe.ExpectColumnValuesToBeInSet(column=LABEL, value_set=labels, meta=spelling),
        gxe.ExpectColumnDistinctValuesToContainSet(
            column=LABEL, value_set=labels, meta=_note(f"every class of {labels} must occur", class_remedy)
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="class_share",
            min_value=limits.min_class_share,
            meta=_note(
                f"every class needs at least {limits.min_class_share:.0%} of the rows", "Add rows of the rare class."
            ),
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="class_share",
            min_value=limits.balanced_class_share,
            severity="warning",
            meta=_note(
                f"a class has less than {limits.balanced_class_share:.0%} of the rows",
                "Add rows of the rare class if it matters.",
            ),
        ),
    ]


def _split_rules() -> list[gxe.Expectation]:
    splits = list(SPLITS)
    return [
        gxe.ExpectColumnValuesToBeInSet(
            column=SPLIT, value_set=splits, meta=_note(f"a split is one of {splits}", f"Write the splits as {splits}.")
        ),
        gxe.ExpectColumnDistinctValuesToContainSet(
            column=SPLIT,
            value_set=splits,
            meta=_note(f"every split of {splits} needs rows", "Remove the column: splits are then made by review."),
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="splits_of_review",
            max_value=1,
            meta=_note("all rows of one review must be in one split", "Give all rows of a review the same split."),
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="splits_of_text",
            max_value=1,
            severity="warning",
            meta=_note(
                "the same text stands in two splits",
                "Nothing needs to be done: the split step removes the copies from the training rows.",
            ),
        ),
    ]


def _note(why: str, remedy: str) -> dict[str, str]:
    return {"why": why, "remedy": remedy}
