"""The Great Expectations suite that gates a data set, behind a thin adapter. It reports and never repairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import great_expectations as gx
import great_expectations.expectations as gxe
import pandas as pd
from great_expectations.core.expectation_suite import ExpectationSuite
from great_expectations.data_context.types.base import ProgressBarsConfig

from feature_checks.contract import (
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
from feature_checks.splits import assign_splits
from feature_checks.thresholds import CheckThresholds

Severity = Literal["critical", "warning"]
ROWS_NAMED: Final = 20
"""At most this many row ids are listed for a finding."""

# U+FFFD, and UTF-8 read as Latin-1 or Windows-1252 ("Ã©", "â€™", "Â£").
DAMAGED: Final = "\ufffd|Ã[\x80-\xbf€-™]|â€.|Â[\xa0-\xbf]"


@dataclass(frozen=True)
class Finding:
    """One expectation that was not met. Holds row ids and never texts, so it may leave the machine."""

    severity: Severity
    column: str
    why: str
    found: str
    rows: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return the finding as one line for logs and error messages."""
        named = f"; rows {', '.join(self.rows)}" if self.rows else ""
        return f"{self.column}: {self.why}: {self.found}{named}"


@dataclass(frozen=True)
class CheckReport:
    """Outcome of a suite over `row_count` rows."""

    row_count: int
    expectations: int
    findings: tuple[Finding, ...]

    @property
    def failures(self) -> tuple[Finding, ...]:
        """Findings that stop the run."""
        return tuple(finding for finding in self.findings if finding.severity == "critical")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """Findings that are carried to the model card."""
        return tuple(finding for finding in self.findings if finding.severity == "warning")

    @property
    def passed(self) -> bool:
        """Whether the data may be used."""
        return not self.failures


class DataCheckError(ValueError):
    """The data set must not be used; the message lists every failure with its rows."""

    def __init__(self, report: CheckReport) -> None:
        super().__init__("the data check failed:\n" + "\n".join(f"  - {failure}" for failure in report.failures))
        self.report = report


def check_reviews(frame: pd.DataFrame, limits: CheckThresholds) -> CheckReport:
    """Check a data set of reviews: schema first, then (if every column is there) the values."""
    schema = validate(frame, _schema_suite(frame))
    if not schema.passed:
        return schema
    values = validate(_with_derived_columns(frame), _value_suite(limits))
    return CheckReport(len(frame), schema.expectations + values.expectations, schema.findings + values.findings)


def validate(frame: pd.DataFrame, expectations: Sequence[gxe.Expectation]) -> CheckReport:
    """Run expectations over a frame; each carries its reason in `meta["why"]`. Rows are named by `row_id`."""
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("memory").add_dataframe_asset("frame")
    batch = asset.add_batch_definition_whole_dataframe("whole").get_batch({"dataframe": frame})
    result_format: dict[str, Any] = {"result_format": "COMPLETE", "include_unexpected_rows": False}
    if ROW_ID in frame.columns:
        result_format["unexpected_index_column_names"] = [ROW_ID]
    outcome = batch.validate(
        ExpectationSuite(name="suite", expectations=list(expectations)), result_format=result_format
    )
    findings = tuple(_finding(result.to_json_dict()) for result in outcome.results if not result.success)
    return CheckReport(len(frame), len(outcome.results), findings)


def _finding(result: dict[str, Any]) -> Finding:
    config, detail = result["expectation_config"], result["result"]
    rows = tuple(str(row[ROW_ID]) for row in detail.get("unexpected_index_list") or [] if ROW_ID in row)
    return Finding(
        severity=config["severity"],
        column=config["kwargs"].get("column", "table"),
        why=config["meta"]["why"],
        found=_found(result, detail),
        rows=rows[:ROWS_NAMED],
    )


def _found(result: dict[str, Any], detail: dict[str, Any]) -> str:
    if "unexpected_count" in detail:
        count, total = detail["unexpected_count"], detail["element_count"]
        return f"{count} of {total} rows ({100 * count / max(total, 1):.1f} %)"
    if "partial_missing_list" in detail:
        return f"missing are {detail['partial_missing_list']}"
    if "observed_value" in detail:
        return f"found {detail['observed_value']}"
    if config_columns := result["expectation_config"]["meta"].get("columns"):
        return f"found the columns {config_columns}"
    raise RuntimeError(
        f"Great Expectations could not evaluate {result['expectation_config']}: {result['exception_info']}"
    )


def _schema_suite(frame: pd.DataFrame) -> list[gxe.Expectation]:
    columns = [str(column) for column in frame.columns]
    return [
        gxe.ExpectColumnToExist(column=name, meta={"why": f"the column {name!r} is required", "columns": columns})
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


def _value_suite(limits: CheckThresholds) -> list[gxe.Expectation]:
    return [*_table_rules(limits), *_text_rules(limits), *_label_rules(limits), *_split_rules()]


def _table_rules(limits: CheckThresholds) -> list[gxe.Expectation]:
    return [
        gxe.ExpectTableRowCountToBeBetween(
            min_value=limits.min_rows,
            meta=_why(f"at least {limits.min_rows} rows are needed to train and to judge"),
        ),
        gxe.ExpectColumnValuesToNotBeNull(column=GROUP_ID, meta=_why("every row must name its review")),
        gxe.ExpectColumnValuesToBeUnique(column=ROW_ID, meta=_why("a row id must name one row")),
    ]


def _text_rules(limits: CheckThresholds) -> list[gxe.Expectation]:
    intact, unique = 1 - limits.max_damaged_share, 1 - limits.max_duplicate_share
    damaged: dict[str, Any] = {"column": TEXT, "regex": DAMAGED}
    copies: dict[str, Any] = {"column": "copies", "max_value": 1}
    return [
        gxe.ExpectColumnValuesToNotBeNull(column=TEXT, meta=_why("a text must not be null")),
        gxe.ExpectColumnValuesToBeBetween(
            column="visible_chars", min_value=1, meta=_why("a text must not be empty or blank")
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="visible_chars",
            max_value=MAX_TEXT_CHARS,
            meta=_why(f"a text has at most {MAX_TEXT_CHARS} characters"),
        ),
        gxe.ExpectColumnValuesToNotMatchRegex(
            **damaged,
            mostly=intact,
            meta=_why(f"at most {limits.max_damaged_share:.0%} of texts may be damaged in encoding"),
        ),
        gxe.ExpectColumnValuesToNotMatchRegex(
            **damaged, severity="warning", meta=_why("the text's encoding is damaged")
        ),
        gxe.ExpectColumnValuesToBeBetween(
            **copies,
            mostly=unique,
            meta=_why(f"at most {limits.max_duplicate_share:.0%} of rows may repeat a text"),
        ),
        gxe.ExpectColumnValuesToBeBetween(
            **copies, severity="warning", meta=_why("the text stands in another row too")
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="labels_of_text",
            max_value=1,
            severity="warning",
            meta=_why("the same text has two labels"),
        ),
    ]


def _label_rules(limits: CheckThresholds) -> list[gxe.Expectation]:
    labels = list(LABELS)
    return [
        gxe.ExpectColumnValuesToNotBeNull(column=LABEL, meta=_why(f"a label must be one of {labels}")),
        gxe.ExpectColumnValuesToBeInSet(column=LABEL, value_set=labels, meta=_why(f"a label must be one of {labels}")),
        gxe.ExpectColumnDistinctValuesToContainSet(
            column=LABEL, value_set=labels, meta=_why(f"every class of {labels} must occur")
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="class_share",
            min_value=limits.min_class_share,
            meta=_why(f"every class needs at least {limits.min_class_share:.0%} of the rows"),
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="class_share",
            min_value=limits.balanced_class_share,
            severity="warning",
            meta=_why(f"a class has less than {limits.balanced_class_share:.0%} of the rows"),
        ),
    ]


def _split_rules() -> list[gxe.Expectation]:
    return [
        gxe.ExpectColumnValuesToBeInSet(
            column=SPLIT, value_set=list(SPLITS), meta=_why(f"a split is one of {list(SPLITS)}")
        ),
        gxe.ExpectColumnDistinctValuesToContainSet(
            column=SPLIT, value_set=list(SPLITS), meta=_why(f"every split of {list(SPLITS)} needs rows")
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="splits_of_review", max_value=1, meta=_why("all rows of one review must be in one split")
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="splits_of_text",
            max_value=1,
            severity="warning",
            meta=_why("the same text stands in two splits"),
        ),
    ]


def _why(reason: str) -> dict[str, str]:
    return {"why": reason}
