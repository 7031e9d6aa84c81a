"""The table of accepted errors: the test behind it by hand and by simulation, what it takes, and what is made of it."""

from __future__ import annotations

from math import comb, floor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from components.evaluation import bootstrap, gate_rules
from components.evaluation.max_error import (
    LEVEL,
    answers_of,
    calibrate,
    design_effect,
    error_correlation,
    judge_answers,
    table_of,
    tail_probability,
)
from components.reporting.answers import answer_sections
from components.reporting.plots import coverage_curve
from components.results import max_error as results
from components.results.gate_decision import Evidence, ServedScore
from components.results.interval import Interval
from components.results.max_error import Answers, LimitResult
from feature_checks import thresholds
from feature_checks.classifier import Probabilities
from feature_checks.contract import LABELS
from feature_checks.documents.max_error import LIMITS, MaxErrors
from feature_checks.scores import Classes

LIMITS_OF_GATE = thresholds.load().gate
Texts = tuple[Classes, Probabilities, list[str]]


def texts(random: np.random.Generator, reviews: int, each: int, correlation: float = 0.0) -> Texts:
    """Draw texts whose confidence is from 0.4 to 1 and is how often they are right, in reviews of one length.

    A text takes its luck from its review with a probability whose square is the correlation of their luck.
    """
    confidence = 1 - 0.6 * random.random((reviews, each)) ** 2
    luck = random.random((reviews, each))
    shared = random.random((reviews, each)) < np.sqrt(correlation)
    luck = np.where(shared, random.random((reviews, 1)), luck)
    truth = (luck >= confidence).astype(np.int64).ravel()
    top = confidence.ravel()
    rest = (1 - top) / 2
    probabilities = np.stack([top, rest, rest], axis=1).astype(np.float32)
    return truth, probabilities, [f"r{number // each}" for number in range(reviews * each)]


def broken(table: MaxErrors, limit: float, drawn: Texts) -> bool:
    """Return whether more than the accepted share of the answers to these texts is wrong."""
    truth, probabilities, _ = drawn
    needed = table.confidence_for(limit)
    answered = probabilities.max(axis=1) >= (2.0 if needed is None else needed)
    wrong = (probabilities.argmax(axis=1) != truth)[answered]
    return bool(len(wrong) and wrong.mean() > limit)


def test_the_tail_by_hand() -> None:
    """Of 20 texts T = 0 + floor(0.1 * 10) + 1 = 2 are wrong; all of them are in the other ten."""
    assert tail_probability(0, 10, 0.1) == pytest.approx(comb(10, 2) / comb(20, 2))
    assert tail_probability(0, 20, 0.15) == pytest.approx(comb(20, 4) / comb(40, 4))
    assert tail_probability(3, 2, 0.1) == 1.0
    assert tail_probability(0, 0, 0.1) == 1.0


@pytest.mark.parametrize("limit", [0.05, 0.1, 0.15, 0.3])
def test_the_test_is_stricter_than_a_binomial_one(limit: float) -> None:
    """What is accepted for a further batch is accepted for the expected error too."""
    from scipy.stats import binom

    for answers in range(1, 400, 3):
        for errors in range(floor(limit * answers) + 1):
            if tail_probability(errors, answers, limit) <= 1 - LEVEL:
                assert binom.cdf(errors, answers, limit) <= 1 - LEVEL


@pytest.mark.parametrize(("each", "correlation"), [(1, 0.0), (8, 0.0), (8, 0.1)])
def test_a_further_set_keeps_the_limit_in_95_percent_of_the_draws(each: int, correlation: float) -> None:
    random = np.random.default_rng(0)
    draws, failures, answered = 300, 0, 0
    for _ in range(draws):
        table = calibrate(*texts(random, 480 // each, each, correlation), [0.1])
        failures += broken(table, 0.1, texts(random, 480 // each, each, correlation))
        answered += table.confidence_for(0.1) is not None
    assert answered >= 0.8 * draws
    # The probability of more failures than this is below 1 % if each has a probability of 5 %.
    assert failures <= 25


def test_a_threshold_that_only_the_error_rate_chooses_would_not_keep_it() -> None:
    """The simulation can fail: the lowest threshold with few enough errors breaks the limit about half the time."""
    random = np.random.default_rng(0)
    failures = 0
    for _ in range(100):
        truth, probabilities, _ = texts(random, 480, 1)
        confidence, wrong = probabilities.max(axis=1), probabilities.argmax(axis=1) != truth
        grid = np.arange(0.4, 1, 0.01)
        chosen = min(t for t in grid if wrong[confidence >= t].mean() <= 0.1)
        failures += broken(MaxErrors([0.1], [float(chosen)], 0.95, 1, 1), 0.1, texts(random, 480, 1))
    assert failures > 25


def test_more_texts_answer_more_and_a_larger_error_too() -> None:
    random = np.random.default_rng(1)
    few, many = (calibrate(*texts(random, reviews, 1)) for reviews in (300, 5000))
    low, high = few.confidence_for(0.1), many.confidence_for(0.1)
    assert low is not None
    assert high is not None
    assert low > high
    known = [confidence for confidence in many.confidences if confidence is not None]
    assert known == sorted(known, reverse=True)
    assert many.limits == LIMITS
    assert (many.reviews, many.texts) == (5000, 5000)


def test_too_few_texts_answer_nothing() -> None:
    """Even if every one of 30 texts is right, 27 of them cannot show an error of at most 0.1 in a further batch."""
    right = np.zeros(30, dtype=np.int64)
    sure = np.tile(np.array([0.9, 0.05, 0.05], dtype=np.float32), (30, 1))
    table = calibrate(right, sure, [str(number) for number in range(30)])
    assert table.confidence_for(0.1) is None
    assert table.confidence_for(0.5) is not None


def test_texts_of_one_review_count_less() -> None:
    random = np.random.default_rng(2)
    truth, probabilities, _ = texts(random, 600, 1)
    alone = calibrate(truth, probabilities, [str(number) for number in range(600)]).confidence_for(0.1)
    together = calibrate(truth, probabilities, [str(number // 30) for number in range(600)]).confidence_for(0.1)
    assert alone is not None
    assert together is None or together > alone


def test_the_design_effect_by_hand() -> None:
    assert design_effect(np.array([0, 1, 2]), 0.5) == 1.0
    assert design_effect(np.array([0, 0, 0, 1]), 0.1) == pytest.approx(1 + 0.1 * (10 / 4 - 1))
    assert design_effect(np.array([], dtype=np.int64), 0.1) == 1.0


def test_the_correlation_is_found() -> None:
    random = np.random.default_rng(3)
    review = np.repeat(np.arange(4000), 5)
    shared = random.random(len(review)) < np.sqrt(0.3)
    wrong = np.where(shared, (random.random(4000) < 0.2)[review], random.random(len(review)) < 0.2)
    assert error_correlation(wrong, review) == pytest.approx(0.3, abs=0.03)
    assert error_correlation(random.random(len(review)) < 0.2, review) < 0.02
    assert error_correlation(np.zeros(5, dtype=bool), np.zeros(5, dtype=np.int64)) == 0.0
    assert error_correlation(np.array([True, False]), np.array([0, 1])) == 0.0


def frame_of(drawn: Texts) -> pd.DataFrame:
    truth, _, groups = drawn
    return pd.DataFrame({"label": [LABELS[index] for index in truth], "group_id": groups})


@pytest.fixture(scope="module")
def answers() -> Answers:
    random = np.random.default_rng(4)
    calibration, test = texts(random, 120, 5), texts(random, 100, 5)
    table = table_of(frame_of(calibration), calibration[1])
    assert table is not None
    found = answers_of(frame_of(calibration), calibration[1], frame_of(test), test[1])
    assert found == judge_answers(table, frame_of(test), test[1])
    assert found is not None
    return found


def test_what_is_answered_on_the_test_split(answers: Answers) -> None:
    (strict, usual, loose) = answers.limits
    assert [limit.max_error for limit in answers.limits] == [0.05, 0.1, 0.15]
    assert strict.coverage <= usual.coverage < loose.coverage
    assert usual.answers == round(usual.coverage * 500)
    assert usual.interval is not None
    assert usual.error is not None
    assert usual.interval.low < usual.error < usual.interval.high
    confidences = [point.confidence for point in answers.curve]
    assert confidences == sorted(confidences)
    assert answers.curve[0].coverage == 1.0
    at_usual = next(point for point in answers.curve if point.confidence == usual.confidence)
    assert (at_usual.coverage, at_usual.error) == (usual.coverage, usual.error)


def test_without_validation_rows_there_is_no_table() -> None:
    assert table_of(pd.DataFrame({"label": [], "group_id": []}), np.zeros((0, 3), dtype=np.float32)) is None


def test_the_figures_are_read_as_they_were_written(answers: Answers, tmp_path: Path) -> None:
    assert results.load(tmp_path) is None
    results.save(answers, tmp_path)
    assert results.load(tmp_path) == answers


def test_the_reports_show_them(answers: Answers) -> None:
    nothing = LimitResult(0.01, None, 0, 0.0, None, None)
    shown = Answers(answers.texts, 41, 467, [nothing, *answers.limits], answers.curve)
    (section,) = answer_sections(shown)
    assert "467 validation texts of 41 reviews" in section.paragraphs[0]
    assert section.rows[0] == ("0.01", "none suffices", "0.000", "–", "–")
    assert section.rows[2][2] == f"{answers.limits[1].coverage:.3f}"
    assert answer_sections(None) == []
    assert coverage_curve(shown).png.startswith(b"\x89PNG")


@pytest.mark.parametrize(("low", "passed"), [(0.09, True), (0.101, False)])
def test_the_gate_refuses_a_model_that_breaks_a_limit(low: float, passed: bool) -> None:
    limit = LimitResult(0.1, 0.9, 120, 0.25, low + 0.03, Interval(low, low + 0.06))
    unanswered = LimitResult(0.05, None, 0, 0.0, None, None)
    score = ServedScore(0.8, dict.fromkeys(LABELS, 0.8))
    evidence = Evidence(answers=(unanswered, limit))
    rules = {rule.name: rule for rule in gate_rules.rules(score, 0.5, None, evidence, LIMITS_OF_GATE)}
    assert "max_error 0.05" not in rules
    assert rules["max_error 0.1"].passed is passed
    assert f"of the 120 answers for max_error=0.1 are wrong, with a 95 % interval of {low:.3f}" in (
        rules["max_error 0.1"].sentence
    )


def test_the_interval_of_a_share_over_two_reviews_is_known_exactly() -> None:
    hits, rows = np.array([True, False, False, False]), np.array([True, True, True, False])
    interval = bootstrap.share_interval(hits, rows, ["a", "a", "b", "b"])
    assert (interval.low, interval.high) == pytest.approx((0.0, 0.5))
