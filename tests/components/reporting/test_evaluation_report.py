from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from components.evaluate import confident_mistakes, judge
from components.reporting import evaluation_report
from components.reporting.model_card import model_card
from components.reporting.plots import plots, text_colour
from components.results import evaluation as evaluations
from components.results.evaluation import CascadeResult, Evaluation
from feature_checks.classifier import softmax
from feature_checks.contract import LABELS

ROWS = 240
TRUTH = np.arange(ROWS) % 3


@pytest.fixture(scope="module")
def test_rows() -> pd.DataFrame:
    texts = [f"Quoted sentence number {number}." for number in range(ROWS)]
    groups = [f"review-{number // 6}" for number in range(ROWS)]
    labels = np.array(LABELS)[TRUTH]
    return pd.DataFrame({"row_id": groups, "group_id": groups, "text": texts, "label": labels, "source": "shop"})


@pytest.fixture(scope="module")
def logits() -> np.ndarray:
    """Logits that are right for most rows; row 7 is the most confident mistake."""
    values = np.random.default_rng(0).normal(size=(ROWS, 3)) + 2 * np.eye(3)[TRUTH]
    values[7] = 9 * np.eye(3)[(TRUTH[7] + 1) % 3]
    return values


@pytest.fixture(scope="module")
def evaluation(test_rows: pd.DataFrame, logits: np.ndarray) -> Evaluation:
    return judge(test_rows, logits, 1.0)


def test_an_evaluation_is_read_as_it_was_written(evaluation: Evaluation, tmp_path: Path) -> None:
    evaluations.save(evaluation, tmp_path)
    read = evaluations.load(tmp_path)
    assert evaluations.Evaluation(**(vars(read) | {"labels": tuple(read.labels)})) == evaluation


def test_a_cascade_is_read_as_it_was_written_and_described(evaluation: Evaluation, tmp_path: Path) -> None:
    fast = replace(evaluation, cascade=CascadeResult(confidence=0.65, share=0.82, second_stage_macro_f1=0.761))
    evaluations.save(fast, tmp_path)
    assert evaluations.load(tmp_path).cascade == fast.cascade
    card = model_card(fast, [], layers=[3, 6], data_digest="", git_revision="")
    assert "answered by the first stage, from a confidence of 0.65 | 82%" in card
    assert "macro-F1 if the second stage read every text | 0.761" in card
    assert "transformer layers | 3, then 6" in card
    assert "stage" not in model_card(evaluation, [], layers=[6], data_digest="", git_revision="")


def test_every_figure_lies_in_its_interval(evaluation: Evaluation) -> None:
    assert evaluation.interval.low < evaluation.macro_f1 < evaluation.interval.high
    for name, score in evaluation.classes.items():
        intervals = evaluation.class_intervals[name]
        for measure in ("precision", "recall", "f1"):
            interval = getattr(intervals, measure)
            assert interval.low < getattr(score, measure) < interval.high
    for part in evaluation.slices.values():
        assert part.interval.low < part.macro_f1 < part.interval.high


def test_the_most_confident_mistake_comes_first(test_rows: pd.DataFrame, logits: np.ndarray) -> None:
    mistakes = confident_mistakes(test_rows, softmax(logits))
    assert len(mistakes) == 10
    assert mistakes[0].text == "Quoted sentence number 7."
    assert mistakes[0].label == LABELS[TRUTH[7]] != mistakes[0].predicted
    assert [mistake.confidence for mistake in mistakes] == sorted((m.confidence for m in mistakes), reverse=True)


def test_only_the_local_report_quotes_reviews(
    evaluation: Evaluation, test_rows: pd.DataFrame, logits: np.ndarray, tmp_path: Path
) -> None:
    evaluation_report.write(evaluation, confident_mistakes(test_rows, softmax(logits)), tmp_path)
    shared = tmp_path / "shared"
    assert {path.name for path in shared.iterdir()} == {"report.html", "confusion.png", "reliability.png"}
    assert "Quoted sentence" in (tmp_path / "report.html").read_text()
    assert "Quoted sentence" not in (shared / "report.html").read_text()


def test_without_neutral_the_report_says_so_and_two_classes_count(test_rows: pd.DataFrame, logits: np.ndarray) -> None:
    two = TRUTH != 1
    values = logits[two].copy()
    values[:, 1] = -1e4
    evaluation = judge(test_rows[two], values, 1.0, ["negative", "positive"])
    assert evaluation.macro_f1 == pytest.approx(
        (evaluation.classes["negative"].f1 + evaluation.classes["positive"].f1) / 2
    )
    assert evaluation.macro_f1 > 0.8
    (summary, *_) = evaluation_report.sections(evaluation, plots(evaluation))
    assert "never predicts neutral" in summary.paragraphs[0]


@pytest.mark.parametrize(
    ("background", "colour"), [((0.03, 0.19, 0.42, 1), "#ffffff"), ((0.97, 0.98, 1, 1), "#1a2129")]
)
def test_text_contrasts_with_its_cell(background: tuple[float, ...], colour: str) -> None:
    assert text_colour(background) == colour
