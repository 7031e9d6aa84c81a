"""Comparing two windows: one clear outcome for every kind of window."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from monitoring.drift.comparison import compare
from monitoring.drift.drift_report import DriftReport
from monitoring.drift_thresholds import Thresholds
from monitoring.windows.window import Window

Make = Callable[..., Window]
Pair = tuple[pd.DataFrame, pd.DataFrame]


@pytest.fixture
def reference(amazon: Pair, window: Make) -> Window:
    return window(amazon[0], "reference")


def test_the_same_domain_is_quiet(reference: Window, amazon: Pair, window: Make, limits: Thresholds) -> None:
    report = compare(reference, window(amazon[1]), limits).report
    assert (report.status, report.drift) == ("judged", False)
    assert report.reasons == ("every detector stays below its threshold",)
    assert [one.detector for one in report.measurements] == [
        *("domain", "unseen_words", "length", "words", "non_letters", "label")
    ]
    assert report.not_measured == ("confidence",)
    assert (report.reference_rows, report.current_rows) == (1500, 500)


def test_another_domain_is_drift_and_the_reasons_say_where(
    reference: Window, tweets: pd.DataFrame, window: Make, limits: Thresholds
) -> None:
    report = compare(reference, window(tweets), limits).report
    assert report.drift
    assert report.reasons[0].startswith("domain (partial_auc) 0.8")
    assert "reaches its threshold" in report.reasons[0]


def test_another_domain_is_seen_without_its_text(
    reference: Window, tweets: pd.DataFrame, window: Make, limits: Thresholds
) -> None:
    current = window(tweets)
    blind = Window("blind", current.frame.drop(columns="text"), current.total_rows)
    report = compare(reference, blind, limits).report
    assert report.drift
    assert "domain" in report.not_measured


@pytest.mark.parametrize("rows", [0, 99])
def test_too_few_rows_are_no_verdict(
    reference: Window, amazon: Pair, window: Make, limits: Thresholds, rows: int
) -> None:
    report = compare(reference, window(amazon[1][:rows], "few"), limits).report
    assert (report.status, report.drift) == ("too_few_rows", False)
    assert report.reasons == (f"the current window few has {rows} rows; at least 100 are needed for a verdict",)


def _confident(frame: pd.DataFrame, value: Any) -> pd.DataFrame:
    return frame.assign(confidence=value)


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (lambda frame: frame.assign(label="positive"), "label: at least two classes must be predicted"),
        (lambda frame: frame.assign(label="good"), r"label: must be one of \['negative', 'neutral', 'positive'\]"),
        (lambda frame: frame.assign(label=None), "label: must be one of"),
        (lambda frame: _confident(frame, "high"), "confidence: must be a number from 0 to 1"),
        (lambda frame: _confident(frame, 1.5), "confidence: must be a number from 0 to 1"),
        (lambda frame: _confident(frame, np.nan), "confidence: must be a number from 0 to 1: 500 of 500 rows"),
        (lambda frame: _confident(frame, [{}] * 500), "confidence: must be a number"),
        (lambda frame: frame.assign(text=" "), "text must be a string with a visible character: 500 of 500"),
        (lambda frame: frame.assign(text=[None] * 10 + ["good"] * 490), "10 of 500 rows"),
        (lambda frame: frame.assign(text=7), "text must be a string"),
        (lambda frame: frame.drop(columns="text"), "length: a window without texts needs the descriptors"),
        (
            lambda frame: frame.assign(length=-1.0, words=1, non_letters=0.5),
            "length: must be a finite number of 0 or more",
        ),
    ],
)
def test_a_broken_window_is_named_and_never_drift(
    reference: Window,
    amazon: Pair,
    window: Make,
    limits: Thresholds,
    broken: Callable[[pd.DataFrame], pd.DataFrame],
    reason: str,
) -> None:
    report = compare(reference, window(broken(amazon[1]), "broken"), limits).report
    assert (report.status, report.drift) == ("invalid", False)
    assert pd.Series(report.reasons).str.contains(reason).any(), report.reasons
    assert all(one.startswith("the current window broken failed its check: ") for one in report.reasons)


def test_numbers_written_as_text_are_numbers(amazon: Pair, window: Make, limits: Thresholds) -> None:
    then = window(_confident(amazon[0], 0.5))
    report = compare(then, window(_confident(amazon[1], "0.5")), limits).report
    assert "confidence" not in report.not_measured
    assert not report.drift


def test_macro_f1_that_fell_is_drift(amazon: Pair, window: Make, limits: Thresholds) -> None:
    frames = [frame.assign(true_label=frame["label"]) for frame in amazon]
    then, now = (window(frame, labelled=frame) for frame in frames)
    quiet = compare(then, now, limits).report
    assert (quiet.drift, quiet.macro_f1_reference, quiet.macro_f1_current) == (False, 1.0, 1.0)
    assert quiet.macro_f1_interval == (1.0, 1.0)
    wrong = frames[1].assign(true_label=frames[1]["label"].replace({"positive": "neutral"}))
    report = compare(then, window(wrong, labelled=wrong), limits).report
    assert report.drift
    assert report.reasons[0].startswith("macro-F1 fell from 1.000 to 0.")
    assert report.labelled_rows == 500


def _some_wrong(frame: pd.DataFrame, share: float) -> pd.DataFrame:
    """Return the frame with true labels, of which a share differs from the prediction."""
    wrong = frame.sample(frac=share, random_state=0).index
    other = {"positive": "neutral", "neutral": "negative", "negative": "positive"}
    return frame.assign(true_label=frame["label"].mask(frame.index.isin(wrong), frame["label"].map(other)))


def test_a_fall_of_macro_f1_that_chance_explains_is_no_drift(amazon: Pair, window: Make, limits: Thresholds) -> None:
    before = window(_some_wrong(amazon[0], 0.2))
    few = _some_wrong(amazon[1][:120], 0.3)
    report = compare(before, window(few), limits).report
    assert report.macro_f1_reference is not None and report.macro_f1_current is not None
    assert report.macro_f1_reference - report.macro_f1_current > limits.performance.max_macro_f1_drop
    assert not [reason for reason in report.reasons if "macro-F1" in reason]
    many = compare(before, window(_some_wrong(amazon[1], 0.4)), limits).report
    assert [reason for reason in many.reasons if "macro-F1" in reason]


def test_labels_that_people_chose_do_not_count(amazon: Pair, window: Make, limits: Thresholds) -> None:
    before = window(_some_wrong(amazon[0], 0.0))
    chosen = _some_wrong(amazon[1], 1.0)
    report = compare(before, replace(window(amazon[1]), labelled=chosen), limits).report
    assert (report.drift, report.macro_f1_current, report.labelled_rows) == (False, None, 500)


def _as_right_as_sure(frame: pd.DataFrame, wrong: float) -> pd.DataFrame:
    """Return the frame with true labels, of which a share is wrong, and the confidence that this deserves."""
    confidence = np.random.default_rng(len(frame)).uniform(0.9 - wrong, 1.1 - wrong, len(frame)).clip(0, 1)
    return _some_wrong(frame, wrong).assign(confidence=confidence)


def test_the_accuracy_is_expected_without_labels_and_withheld_where_there_is_drift(
    amazon: Pair, tweets: pd.DataFrame, window: Make, limits: Thresholds
) -> None:
    reference = window(_as_right_as_sure(amazon[0], 0.2))
    quiet = compare(reference, window(_as_right_as_sure(amazon[1], 0.2).drop(columns="true_label")), limits).report
    assert not quiet.drift
    assert quiet.expected_accuracy == pytest.approx(0.8, abs=0.01)
    low, high = quiet.expected_accuracy_interval or (1.0, 0.0)
    assert low < 0.8 < high
    assert quiet.accuracy_in_words == f"{quiet.expected_accuracy:.3f} ({low:.3f} to {high:.3f})"
    shifted = compare(reference, window(_as_right_as_sure(tweets, 0.2)), limits).report
    assert shifted.drift
    assert (shifted.expected_accuracy, shifted.expected_accuracy_interval) == (None, None)
    assert shifted.accuracy_in_words.startswith("withheld: in a window with drift")
    few = compare(reference, window(_as_right_as_sure(amazon[1], 0.2)[:50]), limits).report
    assert few.accuracy_in_words == "withheld: the window was not judged"
    blind = compare(window(amazon[0]), window(amazon[1]), limits).report
    assert blind.accuracy_in_words.startswith("unknown: the reference window has too few labels")


def test_what_is_unknown_is_absent_from_the_metadata(amazon: Pair, window: Make, limits: Thresholds) -> None:
    labelled = amazon[1].assign(true_label=amazon[1]["label"])
    reference = window(_as_right_as_sure(amazon[0], 0.2))
    for current in (
        window(_as_right_as_sure(amazon[1], 0.2)),
        window(amazon[1]),
        window(labelled, labelled=labelled),
        window(amazon[1][:0]),
    ):
        content = compare(reference, current, limits).report.to_dict()
        assert json.loads(json.dumps(content, allow_nan=False)) == json.loads(json.dumps(content))
        assert "null" not in json.dumps(content)
        assert DriftReport.from_dict(content).to_dict() == content


def test_a_report_survives_its_json(
    reference: Window, tweets: pd.DataFrame, window: Make, limits: Thresholds, tmp_path: Path
) -> None:
    report = compare(reference, window(tweets), limits).report
    assert DriftReport.from_dict(json.loads(report.save(tmp_path).read_text(encoding="utf-8"))) == report
