from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from components.evaluation.metrics import served_score
from components.gate import compare, decide, losses
from components.reporting import gate_report
from components.results import gate_decision
from components.results.gate_decision import Champion, Change, ServedScore
from feature_checks import thresholds
from feature_checks.contract import LABELS

LIMITS = thresholds.load().gate


def score(negative: float, neutral: float, positive: float) -> ServedScore:
    classes = {"negative": negative, "neutral": neutral, "positive": positive}
    return ServedScore(sum(classes.values()) / 3, classes)


GOOD = score(0.8, 0.7, 0.9)
EQUAL = Change(macro_f1=0.0, lower_bound=0.0)


def test_a_first_good_candidate_is_accepted() -> None:
    decision = decide(GOOD, baseline_macro_f1=0.57, parity_violations=[], champion=None, limits=LIMITS)
    assert decision.accepted
    assert decision.verdict == "accepted"


def test_a_candidate_near_the_baseline_is_rejected_with_the_figures() -> None:
    decision = decide(score(0.6, 0.6, 0.6), baseline_macro_f1=0.57, parity_violations=[], champion=None, limits=LIMITS)
    assert decision.verdict == "rejected"
    assert decision.reasons == ["macro-F1 is 0.600; 0.620 is needed, which is the baseline's 0.570 plus 0.05"]


@pytest.mark.parametrize(("neutral", "accepted"), [(0.66, True), (0.64, False)])
def test_one_class_may_lose_up_to_the_margin(neutral: float, accepted: bool) -> None:
    candidate = score(0.9, neutral, 0.95)
    champion = Champion("3", GOOD, EQUAL)
    decision = decide(candidate, baseline_macro_f1=0.57, parity_violations=[], champion=champion, limits=LIMITS)
    assert decision.accepted is accepted
    assert all("F1 of neutral" in reason and "champion version 3" in reason for reason in decision.reasons)


def test_an_unfaithful_export_is_rejected_however_good() -> None:
    decision = decide(GOOD, baseline_macro_f1=0.57, parity_violations=["INT8 disagrees"], champion=None, limits=LIMITS)
    assert decision.reasons == ["INT8 disagrees"]


TRUTH = np.arange(600) % 3
REVIEWS = pd.DataFrame({"label": np.array(LABELS)[TRUTH], "group_id": np.arange(600) // 10})
"""The test split: 60 reviews of ten rows."""
APART, TOGETHER = np.arange(0, 600, 10), np.arange(600)
"""Rows of a review each, and rows of the same reviews."""


def champion_against(wrong: np.ndarray) -> tuple[ServedScore, Champion]:
    """Return a candidate that has those rows wrong, and a champion that has none wrong."""
    candidate = TRUTH.copy()
    candidate[wrong] = (TRUTH[wrong] + 1) % 3
    return served_score(TRUTH, candidate), compare("3", TRUTH, candidate, REVIEWS, level=LIMITS.bound_level)


def test_a_small_loss_spread_over_reviews_passes() -> None:
    candidate, champion = champion_against(APART[:10])
    assert losses(candidate, champion, LIMITS) == []
    assert champion.change.macro_f1 == pytest.approx(-1 / 60, abs=0.001)


def test_the_same_loss_in_one_review_has_too_low_a_bound() -> None:
    candidate, champion = champion_against(TOGETHER[:10])
    assert champion.change.macro_f1 == pytest.approx(-1 / 60, abs=0.001)
    (reason,) = losses(candidate, champion, LIMITS)
    assert reason == (
        "macro-F1 changes by -0.017 from champion version 3, with a 95% lower bound of -0.050; "
        "a change of at least -0.02 and a bound above -0.04 are needed"
    )


def test_a_larger_loss_is_refused_however_sure() -> None:
    candidate, champion = champion_against(APART[:14])
    assert champion.change.lower_bound > LIMITS.min_change_bound
    (reason,) = losses(candidate, champion, LIMITS)
    assert reason.startswith("macro-F1 changes by -0.023")


def test_a_refusal_is_written_and_read_again_and_shown(tmp_path: Path) -> None:
    candidate, champion = champion_against(TOGETHER[:10])
    decision = decide(candidate, baseline_macro_f1=0.5, parity_violations=[], champion=champion, limits=LIMITS)
    gate_decision.save(decision, tmp_path)
    assert gate_decision.load(tmp_path) == replace(decision, labels=list(LABELS))
    shown = gate_report.text(decision)
    assert "The candidate is rejected." in shown
    assert "| lower bound of the change | -0.050 |" in shown
    assert "champion (version 3)" in shown


def test_a_first_decision_is_read_again(tmp_path: Path) -> None:
    decision = decide(GOOD, baseline_macro_f1=0.5, parity_violations=[], champion=None, limits=LIMITS)
    gate_decision.save(decision, tmp_path)
    assert gate_decision.load(tmp_path) == replace(decision, labels=list(LABELS))
    assert "champion (none yet)" in gate_report.text(decision)
