"""The policy: k of the last n windows and the newest, never on what could not be judged."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.policy import decide
from monitoring.report import DriftReport
from monitoring.thresholds import PolicyLimits

LIMITS = PolicyLimits(windows=3, alarms=2, cooldown_hours=24)
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


@pytest.mark.parametrize(("hours", "action"), [(0, "WATCH"), (23.9, "WATCH"), (24, "RETRAIN")])
def test_no_retraining_within_the_cooldown(hours: float, action: str) -> None:
    decision = decide(history("dd"), LIMITS, now=NOW, last_retraining=NOW - timedelta(hours=hours))
    assert decision.action == action
    assert ("last retraining" in " ".join(decision.reasons)) == (action == "WATCH")


def test_the_reasons_say_what_was_seen() -> None:
    decision = decide(history(".dd"), LIMITS, now=NOW)
    assert decision.reasons == (
        "the newest window w2 shows drift: because d",
        "2 of the last 3 judged windows show drift",
        "retraining needs 2 of the last 3, the newest among them",
    )
    assert decision.windows == ("w0", "w1", "w2")
    assert decision.decided_at == "2026-11-22T12:00:00+00:00"


@given(st.text(alphabet="d.ex", max_size=12))
def test_retraining_always_rests_on_enough_alarms_and_the_newest_window(kinds: str) -> None:
    decision = decide(history(kinds), LIMITS, now=NOW)
    judged = kinds.replace("e", "").replace("x", "")[-LIMITS.windows :]
    enough = kinds.endswith("d") and judged.count("d") >= LIMITS.alarms
    assert (decision.action == "RETRAIN") == enough
