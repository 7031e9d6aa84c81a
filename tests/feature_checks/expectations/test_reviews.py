from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pytest

from feature_checks import thresholds
from feature_checks.expectations.reviews import DataCheckError, check_reviews
from feature_checks.expectations.suite import CheckReport

LIMITS = thresholds.load().check
Breakage = Callable[[pd.DataFrame], pd.DataFrame]


@pytest.fixture(scope="module")
def sample(reviews: pd.DataFrame) -> pd.DataFrame:
    """Unique texts of the real reviews, without a split column, as ingest delivers them."""
    return reviews.drop_duplicates("text").drop(columns="split").head(800).reset_index(drop=True)


def check(frame: pd.DataFrame) -> CheckReport:
    return check_reviews(frame, LIMITS)


def test_the_default_reviews_pass_with_warnings_that_name_rows(reviews: pd.DataFrame) -> None:
    report = check(reviews)
    assert report.passed
    copies = next(finding for finding in report.warnings if "in another row" in finding.why)
    assert "amazon:31_5" in copies.rows


def test_clean_data_has_no_findings(sample: pd.DataFrame) -> None:
    assert check(sample).findings == ()


def with_value(column: str, rows: slice, value: str | float | None) -> Breakage:
    def apply(frame: pd.DataFrame) -> pd.DataFrame:
        broken = frame.copy()
        broken[column] = broken[column].astype(object)
        broken.loc[rows, column] = value
        return broken

    return apply


BREAKAGES: dict[str, tuple[Breakage, str]] = {
    "a column missing": (lambda f: f.drop(columns="label"), "the column 'label' is required: found the columns"),
    "null text": (with_value("text", slice(3, 3), None), "a text must not be null"),
    "30 % empty texts": (with_value("text", slice(0, 239), ""), "must not be empty or blank: 240 of 800 rows"),
    "blank text": (with_value("text", slice(7, 7), " \u200b\t"), "must not be empty or blank"),
    "over-long text": (with_value("text", slice(5, 5), "x" * 20_001), "at most 20000 characters"),
    "damaged encoding": (with_value("text", slice(0, 20), "caf\u00c3\u00a9"), "damaged in encoding"),
    "too many duplicates": (with_value("text", slice(0, 60), "Same text."), "may repeat a text"),
    "unknown label": (with_value("label", slice(2, 2), "angry"), "a label must be one of"),
    "null label": (with_value("label", slice(2, 2), None), "a label must be one of"),
    "one class absent": (
        lambda f: f[f["label"] != "neutral"],
        r"every class of .* must occur: missing are \['neutral'\]",
    ),
    "too few rows": (lambda f: f.head(50), "at least 300 rows"),
    "no group": (with_value("group_id", slice(0, 0), None), "every row must name its review"),
    "repeated row id": (with_value("row_id", slice(0, 1), "same"), "a row id must name one row"),
    "unknown split": (lambda f: f.assign(split="holdout"), "a split is one of"),
    "a review in two splits": (
        lambda f: f.assign(split=["train", "validation", "test", "train"] * (len(f) // 4)),
        "all rows of one review must be in one split",
    ),
}


@pytest.mark.parametrize("name", BREAKAGES)
def test_broken_data_fails_and_the_cause_is_named(name: str, sample: pd.DataFrame) -> None:
    breakage, cause = BREAKAGES[name]
    report = check(breakage(sample))
    assert not report.passed
    with pytest.raises(DataCheckError, match=cause):
        raise DataCheckError(report)


def test_findings_name_the_rows_and_never_the_text(sample: pd.DataFrame) -> None:
    report = check(with_value("text", slice(5, 5), "secret " * 4000)(sample))
    (failure,) = report.failures
    assert failure.rows == (sample.loc[5, "row_id"],)
    assert "secret" not in str(report)


def test_the_data_is_left_as_it_was(sample: pd.DataFrame) -> None:
    before = sample.copy()
    check(sample)
    pd.testing.assert_frame_equal(sample, before)


def test_thin_class_is_a_warning_before_it_is_a_failure(sample: pd.DataFrame) -> None:
    neutral = sample[sample["label"] == "neutral"].head(40)
    report = check(pd.concat([sample[sample["label"] != "neutral"], neutral]))
    assert report.passed
    assert any("less than 10%" in finding.why for finding in report.warnings)
