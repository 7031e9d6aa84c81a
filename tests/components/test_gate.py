from __future__ import annotations

import pytest

from components.gate import ServedScore, decide
from feature_checks.thresholds import GateThresholds

LIMITS = GateThresholds(min_gain_over_baseline=0.05, max_class_f1_loss=0.05)


def score(negative: float, neutral: float, positive: float) -> ServedScore:
    classes = {"negative": negative, "neutral": neutral, "positive": positive}
    return ServedScore(sum(classes.values()) / 3, classes)


GOOD = score(0.8, 0.7, 0.9)


def test_a_first_good_candidate_is_accepted() -> None:
    decision = decide(GOOD, baseline_macro_f1=0.57, parity_violations=[], champion=None, limits=LIMITS)
    assert decision.accepted
    assert decision.verdict == "accepted"


def test_a_candidate_near_the_baseline_is_rejected_with_the_figures() -> None:
    decision = decide(score(0.6, 0.6, 0.6), baseline_macro_f1=0.57, parity_violations=[], champion=None, limits=LIMITS)
    assert decision.verdict == "rejected"
    assert decision.reasons == ["macro-F1 is 0.600; the baseline's 0.570 plus 0.05 asks for 0.620"]


@pytest.mark.parametrize(("neutral", "accepted"), [(0.66, True), (0.64, False)])
def test_one_class_may_lose_up_to_the_margin(neutral: float, accepted: bool) -> None:
    candidate = score(0.9, neutral, 0.95)
    decision = decide(
        candidate, baseline_macro_f1=0.57, parity_violations=[], champion=GOOD, champion_version="3", limits=LIMITS
    )
    assert decision.accepted is accepted
    assert all("F1 of neutral" in reason and "champion version 3" in reason for reason in decision.reasons)


def test_an_unfaithful_export_is_rejected_however_good() -> None:
    decision = decide(GOOD, baseline_macro_f1=0.57, parity_violations=["INT8 disagrees"], champion=None, limits=LIMITS)
    assert decision.reasons == ["INT8 disagrees"]
