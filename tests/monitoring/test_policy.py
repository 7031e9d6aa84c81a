"""The policy: k of the last n windows and the newest, never on what could not be judged."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.drift.drift_report import DriftReport
from monitoring.drift_thresholds import PolicyLimits
from monitoring.policy import Retraining, decide

LIMITS = PolicyLimits(windows=3, alarms=2, cooldown_windows=2, min_new_labels=100, label_growth_after_refusal=1.0)
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
KINDS = {"d": ("judged", True), ".": ("judged", False), "e": ("too_few_rows", False), "x": ("invalid", False)}


def report(window: str, kind: str) -> DriftReport:
    status, drift = KINDS[kind]
    return DriftReport(
        window=window,
        reference="reference",
        status=status,  # type: ignore[arg-type]  # one of KINDS
        drift=drift,
        reasons=(f"because {kind}",),
        measurements=(),
        not_measured=(),
        reference_rows=1500,
        current_rows=500,
        reference_total=1500,
        current_total=500,
        labelled_rows=0,
        macro_f1_reference=None,
        macro_f1_current=None,
        model_versions=("3",),
        damaged_lines=0,
        model_version="3",
        trainable_rows=100 if drift else 0,
    )


def history(kinds: str) -> list[DriftReport]:
    return [report(f"w{index}", kind) for index, kind in enumerate(kinds)]


@pytest.mark.parametrize(
    ("kinds", "action"),
    [
        ("", "OK"),
        (".", "OK"),
        ("d", "WATCH"),
        ("dd", "RETRAIN"),
        ("d.d", "RETRAIN"),
        ("d..d", "WATCH"),
        ("dd.", "WATCH"),
        ("dd...", "OK"),
        ("dde", "WATCH"),
        ("ddx", "WATCH"),
        ("ded", "RETRAIN"),
        ("e", "WATCH"),
    ],
)
def test_the_decision_for_each_history(kinds: str, action: str) -> None:
    decision = decide(history(kinds), LIMITS, now=NOW)
    assert decision.action == action
    assert decision.reasons


def test_a_window_judged_twice_counts_once() -> None:
    assert decide([report("w", "d"), report("w", "d")], LIMITS, now=NOW).action == "WATCH"
    assert decide([report("w", "d"), report("w", ".")], LIMITS, now=NOW).action == "OK"


@pytest.mark.parametrize(
    ("kinds", "last", "action"),
    [
        ("dd", "w1", "WATCH"),
        ("ddd", "w1", "WATCH"),
        ("dded", "w1", "WATCH"),
        ("dddd", "w1", "RETRAIN"),
        ("dde.d", "w2", "RETRAIN"),
        ("ddxd", "w2", "WATCH"),
    ],
)
def test_the_cooldown_counts_judged_windows_after_the_retraining(kinds: str, last: str, action: str) -> None:
    decision = decide(history(kinds), LIMITS, now=NOW, last_retraining=Retraining(last))
    assert decision.action == action
    assert ("since the last retraining" in " ".join(decision.reasons)) == (action == "WATCH")


def test_windows_of_an_older_champion_do_not_count() -> None:
    first, second = history("dd")
    decision = decide([first, replace(second, model_version="4")], LIMITS, now=NOW)
    assert (decision.action, decision.windows) == ("WATCH", ("w1",))
    third = replace(report("w2", "d"), model_version="4")
    assert decide([first, replace(second, model_version="4"), third], LIMITS, now=NOW).action == "RETRAIN"


def test_windows_that_overlap_are_one_vote() -> None:
    first, second = history("dd")
    noon, later, evening = (
        "2026-11-22T12:00:00.000+00:00",
        "2026-11-22T12:05:00.000+00:00",
        "2026-11-22T18:00:00.000+00:00",
    )
    morning = replace(first, start="2026-11-22T00:00:00.000+00:00", end=later)
    assert decide([morning, replace(second, start=noon, end=evening)], LIMITS, now=NOW).action == "WATCH"
    assert decide([morning, replace(second, start=later, end=evening)], LIMITS, now=NOW).action == "RETRAIN"


def test_there_is_no_retraining_without_labels() -> None:
    unlabelled = [replace(made, trainable_rows=10) for made in history("dd")]
    decision = decide(unlabelled, LIMITS, now=NOW)
    assert decision.action == "WATCH"
    assert "there are 20 new labelled texts; retraining needs 100" in decision.reasons[-1]
    assert decide(unlabelled, LIMITS, now=NOW, stored_labels=100).action == "RETRAIN"


def test_labels_that_were_trained_on_are_not_new() -> None:
    unlabelled = [replace(made, trainable_rows=0) for made in history("dddd")]
    last = Retraining("w1", stored_labels=500)
    assert decide(unlabelled, LIMITS, now=NOW, last_retraining=last, stored_labels=599).action == "WATCH"
    assert decide(unlabelled, LIMITS, now=NOW, last_retraining=last, stored_labels=600).action == "RETRAIN"


def test_the_reasons_say_what_was_seen() -> None:
    decision = decide(history(".dd"), LIMITS, now=NOW)
    assert decision.reasons == (
        "the newest window w2 shows drift: because d",
        "2 of the last 3 judged windows show drift",
        "retraining needs 2 of the last 3, the newest one included",
    )
    assert decision.windows == ("w0", "w1", "w2")
    assert decision.decided_at == "2026-11-22T12:00:00+00:00"


@pytest.mark.parametrize("verdicts", ["d", "."])
def test_the_reasons_do_not_count_a_single_window(verdicts: str) -> None:
    assert "it is the only judged window so far" in decide(history(verdicts), LIMITS, now=NOW).reasons


@given(st.text(alphabet="d.ex", max_size=12))
def test_retraining_always_rests_on_enough_alarms_and_the_newest_window(kinds: str) -> None:
    decision = decide(history(kinds), LIMITS, now=NOW)
    judged = kinds.replace("e", "").replace("x", "")[-LIMITS.windows :]
    enough = kinds.endswith("d") and judged.count("d") >= LIMITS.alarms
    assert (decision.action == "RETRAIN") == enough


@pytest.mark.parametrize(
    ("refused", "stored", "action"), [(True, 350, "WATCH"), (True, 400, "RETRAIN"), (False, 350, "RETRAIN")]
)
def test_after_a_refused_candidate_the_labels_must_have_doubled(refused: bool, stored: int, action: str) -> None:
    history = [replace(report(str(number), "d"), trainable_rows=0) for number in range(5)]
    last = Retraining("1", stored_labels=200, refused=refused)
    decision = decide(history, LIMITS, now=NOW, last_retraining=last, stored_labels=stored)
    assert decision.action == action
    if action == "WATCH":
        assert "retraining needs 200 after a candidate of 200 labels was not promoted" in decision.reasons[-1]
