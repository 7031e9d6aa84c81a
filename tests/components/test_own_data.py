"""Own data as people have it: read, checked and split without preparation."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from components.check import check, inspect, labels_for
from components.datasets.columns import SourceOptions
from components.ingest import ingest
from components.split import split
from feature_checks import thresholds
from feature_checks.expectations.reviews import DataCheckError
from tests.support import own_data

SETS = {
    "two-class CSV": (own_data.two_class_csv, SourceOptions(neutral="none")),
    "five-star JSONL": (
        own_data.five_star_jsonl,
        SourceOptions(text_column="Customer Comment", rating_column="Grade"),
    ),
    "Parquet with duplicates": (own_data.parquet_folder_with_duplicates, SourceOptions()),
}
LIMITS = thresholds.load().check


@pytest.mark.parametrize("name", SETS)
def test_a_users_data_set_is_read_checked_and_split(name: str, tmp_path: Path) -> None:
    write, options = SETS[name]
    source = write(tmp_path)
    result = ingest(source, tmp_path / "data", cache=tmp_path, options=options)
    report = check(tmp_path / "data", tmp_path / "check", LIMITS, neutral=options.neutral)
    counts = split(tmp_path / "data", tmp_path / "split")
    labels = labels_for(options.neutral)
    assert report.ok
    assert report.classes == dict.fromkeys(labels, 160)
    assert result.rows == 160 * len(labels) == sum(counts[name] for name in ("train", "validation", "test"))
    assert inspect(source, **vars(options)).rows == result.rows


def test_duplicates_are_folded_and_counted(tmp_path: Path) -> None:
    source = own_data.parquet_folder_with_duplicates(tmp_path)
    assert ingest(source, tmp_path / "data", cache=tmp_path).changes == {"duplicates_folded": 120}
    report = inspect(source)
    assert report.ok
    assert any("120 rows repeat the text and label" in problem.found for problem in report.problems)


def test_without_neutral_rows_the_message_names_both_choices(tmp_path: Path) -> None:
    source = own_data.two_class_csv(tmp_path)
    ingest(source, tmp_path / "data", cache=tmp_path)
    with pytest.raises(
        DataCheckError, match=r"missing are \['neutral'\]\. Choose neutral=from_default .* neutral=none"
    ):
        check(tmp_path / "data", tmp_path / "check", LIMITS)
    report = inspect(source)
    (problem,) = [problem for problem in report.problems if problem.severity == "critical"]
    assert not report.ok
    assert "neutral=from_default" in problem.remedy
    assert "neutral=none" in problem.remedy


def test_neutral_rows_can_come_from_the_default_data(tmp_path: Path, data_cache: Path) -> None:
    source = own_data.two_class_csv(tmp_path)
    result = ingest(source, tmp_path / "data", cache=data_cache, options=SourceOptions(neutral="from_default"))
    frame = pd.read_parquet(tmp_path / "data")
    added = frame[frame["source"] == "amazon"]
    assert set(added["label"]) == {"neutral"}
    assert result.changes == {"neutral_added": len(added)}
    assert check(tmp_path / "data", tmp_path / "check", LIMITS).ok


def test_neutral_none_leaves_neutral_rows_out(tmp_path: Path) -> None:
    source = own_data.five_star_jsonl(tmp_path)
    options = SourceOptions(text_column="Customer Comment", rating_column="Grade", neutral="none")
    assert ingest(source, tmp_path / "data", cache=tmp_path, options=options).changes == {"neutral_left_out": 160}


def test_copies_of_a_text_are_one_review(tmp_path: Path) -> None:
    rows = pd.DataFrame({"text": ["It broke.", " It  broke.", "Fine."], "label": ["negative", "neutral", "positive"]})
    rows.to_csv(tmp_path / "own.csv", index=False)
    ingest(str(tmp_path / "own.csv"), tmp_path / "data", cache=tmp_path)
    first, second, third = pd.read_parquet(tmp_path / "data")["group_id"]
    assert first == second != third


def test_of_copies_in_named_splits_the_test_copy_is_kept(tmp_path: Path) -> None:
    rows = pd.DataFrame({"text": ["Same."] * 3, "label": "pos", "split": ["train", "test", "validation"]})
    rows.to_csv(tmp_path / "own.csv", index=False)
    ingest(str(tmp_path / "own.csv"), tmp_path / "data", cache=tmp_path)
    assert pd.read_parquet(tmp_path / "data")["split"].tolist() == ["test"]


UNUSABLE: dict[str, tuple[dict[str, object], dict[str, str], str, str]] = {
    "rating outside the scale": (
        {"text": ["a", "b"], "stars": [1, 7]}, {}, "column 'stars'", "1 of 2 rows lie outside the scale 1..5",
    ),
    "rating in words": ({"text": ["a", "b"], "stars": ["5", "five"]}, {}, "column 'stars'", "are not numbers"),
    "raters outside the scale": (
        {"text": ["a"], "label": ["pos"], "ratings": ["[9]"]}, {}, "column 'ratings'", "1 of 1 rows",
    ),
    "column that does not exist": (
        {"text": ["a"], "label": ["pos"]}, {"text_column": "comment"}, "text_column", "no column 'comment'",
    ),
    "several texts": (
        {"comment": ["a"], "content": ["b"], "label": ["pos"]}, {}, "columns", "could each be the text",
    ),
    "unknown option": ({"text": ["a"], "label": ["pos"]}, {"neutral": "maybe"}, "neutral", "it is 'maybe'"),
}  # fmt: skip


@pytest.mark.parametrize("name", UNUSABLE)
def test_unusable_data_is_a_problem_with_a_remedy(name: str, tmp_path: Path) -> None:
    columns, options, where, found = UNUSABLE[name]
    pd.DataFrame(columns).to_csv(tmp_path / "own.csv", index=False)
    (problem,) = inspect(str(tmp_path / "own.csv"), **options).problems
    assert (problem.severity, problem.where) == ("critical", where)
    assert found in problem.found
    assert problem.remedy


def test_a_missing_column_is_explained_with_the_columns_of_the_file(tmp_path: Path) -> None:
    source = tmp_path / "own.csv"
    pd.DataFrame({"comment": ["a", "b"], "points": [1, 5]}).to_csv(source, index=False)
    (problem,) = inspect(str(source)).problems
    assert problem.found == "the column 'label' is required: found the columns ['comment', 'points']"
    ingest(str(source), tmp_path / "data", cache=tmp_path)
    report = check(tmp_path / "data", tmp_path / "check", thresholds.load().check, stop=False)
    assert [entry.found for entry in report.problems] == [problem.found]


def test_individual_ratings_outside_the_scale_are_refused(tmp_path: Path) -> None:
    rows = pd.DataFrame({"text": ["a", "b"], "label": ["pos", "neg"], "ratings": [[-1, 2], [0, 8]]})
    rows.to_parquet(tmp_path / "own.parquet")
    (problem,) = inspect(str(tmp_path / "own.parquet")).problems
    assert "1 of 2 rows have ratings outside the scale -4..4 (first row numbers 1)" in problem.found


def test_inspect_imports_no_torch(tmp_path: Path) -> None:
    source = own_data.two_class_csv(tmp_path)
    code = f"import sys; from components.check import inspect; inspect({source!r}); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)


def test_numbers_among_texts_are_texts(tmp_path: Path) -> None:
    rows = '{"review": 10, "stars": 5}\n{"review": "Ten out of ten.", "stars": 5}\n'
    (tmp_path / "own.jsonl").write_text(rows, encoding="utf-8")
    ingest(str(tmp_path / "own.jsonl"), tmp_path / "data", cache=tmp_path)
    assert pd.read_parquet(tmp_path / "data")["text"].tolist() == ["10", "Ten out of ten."]
