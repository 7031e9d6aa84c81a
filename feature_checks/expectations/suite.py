"""A thin adapter to Great Expectations: expectations over a table in, typed findings out. It never changes data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import great_expectations as gx
import great_expectations.expectations as gxe
import pandas as pd
from great_expectations.core.expectation_suite import ExpectationSuite
from great_expectations.data_context.types.base import ProgressBarsConfig

from feature_checks.contract import ROW_ID

Severity = Literal["critical", "warning"]
ROWS_NAMED: Final = 20
"""At most this many row ids are listed for a finding."""


@dataclass(frozen=True)
class Finding:
    """One expectation that was not met. Holds row ids and never texts, so it may leave the machine."""

    severity: Severity
    column: str
    """The column, or `table` for an expectation about the whole table."""
    why: str
    """The expectation in words."""
    found: str
    """What was found instead, and in how many rows."""
    rows: tuple[str, ...] = ()
    """Ids of the first rows concerned."""
    remedy: str = ""
    """How to mend it."""

    def __str__(self) -> str:
        """Return the finding as one line for logs and error messages."""
        named = f"; rows {', '.join(self.rows)}" if self.rows else ""
        remedy = f". {self.remedy}" if self.remedy else ""
        return f"{self.column}: {self.why}: {self.found}{named}{remedy}"


@dataclass(frozen=True)
class CheckReport:
    """The outcome of a suite over `row_count` rows."""

    row_count: int
    expectations: int
    """Number of expectations that were checked."""
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


def validate(frame: pd.DataFrame, expectations: Sequence[gxe.Expectation]) -> CheckReport:
    """Check expectations over a frame; each has its reason in `meta["why"]` and perhaps a `meta["remedy"]`.

    Rows are named by `row_id`, where the frame has that column.

    Example: `validate(frame, [gxe.ExpectColumnToExist(column="text", meta={"why": "texts are needed"})]).passed`.
    """
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
        remedy=config["meta"].get("remedy", ""),
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
