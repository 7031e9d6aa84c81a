"""Evidence over weeks: quiet years stay quiet, a tenth of another domain is seen, a new champion starts again."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from monitoring import drift_thresholds
from monitoring.drift.detectors import Measurement
from monitoring.drift.drift_report import DriftReport
from monitoring.drift.sustained import Score, evidence_of, with_evidence
from monitoring.drift.verdicts import verdict_of
from monitoring.history import History
from tests.support.drift_reports import REPORT

LIMITS = drift_thresholds.load()
MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
TENTH = 0.18
"""Rise of the score with a tenth of tweets, editorials or movie reviews against a reference window of 467 rows."""


def scores(values: Sequence[float]) -> list[Score]:
    return [Score(value, LIMITS.sustained.window_spread, 0.104) for value in values]


def year(seed: int, shift_from: int = 52) -> list[float]:
    """Return 52 scores around the level of one reference window; from one week on a tenth is of another domain."""
    random = np.random.default_rng(seed)
    level = random.normal(0, 0.104)
    return [float(random.normal(level + TENTH * (week >= shift_from), 0.055)) for week in range(52)]


def reaches(values: Sequence[float]) -> list[bool]:
    return [evidence_of(scores(values[: week + 1]), 0.0) >= LIMITS.sustained.threshold for week in range(len(values))]


def test_a_quiet_year_rarely_reaches_the_threshold() -> None:
    assert sum(any(reaches(year(seed))) for seed in range(100)) <= 5


def test_a_tenth_of_another_domain_is_seen_within_six_weeks() -> None:
    assert sum(any(reaches(year(seed, shift_from=10)[:16])[10:]) for seed in range(100)) >= 90


def test_one_window_alone_is_not_enough_however_far_it_is() -> None:
    assert evidence_of(scores([0.0] * 10 + [100.0]), 0.0) < LIMITS.sustained.threshold


def test_a_season_that_comes_back_is_no_evidence() -> None:
    """The windows of a season are compared with another part of the reference window, whose level is another one."""
    quiet = scores([0.0] * 24)
    season = [Score(0.3, LIMITS.sustained.window_spread, 0.3)] * 8
    assert evidence_of([*season[:4], *quiet, *season], 0.0) < LIMITS.sustained.threshold
    assert evidence_of([*season[:4], *quiet, *scores([0.3] * 8)], 0.0) >= LIMITS.sustained.threshold


def report(week: int, score: float, **changes: object) -> DriftReport:
    start, end = (MONDAY + timedelta(weeks=number) for number in (week, week + 1))
    measured = Measurement("unseen_words", "text", "mean_rise", score, 0.3, alarm=False)
    made = replace(REPORT, window=f"week-{week}", model_version="1", reference_rows=467, reference_total=467,
                   measurements=(measured,), start=start.isoformat(), end=end.isoformat())  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]


def kept(values: Sequence[float], history: History, **changes: object) -> list[DriftReport]:
    """Judge and keep one window for each score, as `judge_window` does; return the kept reports."""
    for week, score in enumerate(values):
        made = with_evidence(history.reports(), report(week, score, **changes), LIMITS)
        history.add_report(made, MONDAY)
    return history.reports()


def test_the_report_gives_the_reason_and_the_verdict(tmp_path: Path) -> None:
    found = kept([0.0] * 8 + [TENTH] * 4, History(str(tmp_path)))
    assert [entry.drift for entry in found[:8]] == [False] * 8
    assert found[-1].drift
    assert found[-1].is_sustained
    assert found[-1].reasons[0].startswith("sustained drift: unseen_words has risen above the level of this champion's")
    figures = re.search(r"windows, ([\d,.]+), reaches its threshold 1,000$", found[-1].reasons[0])
    assert figures, found[-1].reasons[0]
    assert figures[1] == f"{found[-1].sustained:,.1f}"
    assert verdict_of(found[-1])[1].startswith("Sustained drift")


def test_sustained_drift_withholds_the_expected_accuracy(tmp_path: Path) -> None:
    earlier = kept([0.0] * 8 + [TENTH] * 4, History(str(tmp_path)))
    known = {"expected_accuracy": 0.8, "expected_accuracy_interval": (0.7, 0.9)}
    quiet = with_evidence(earlier[:8], report(8, 0.0, **known), LIMITS)
    assert quiet.accuracy_in_words == "0.800 (0.700 to 0.900)"
    drifted = with_evidence(earlier, report(12, TENTH, **known), LIMITS)
    assert drifted.drift
    assert drifted.accuracy_in_words.startswith("withheld: in a window with drift")


def test_windows_that_are_compared_with_small_samples_of_the_reference_vary_more(tmp_path: Path) -> None:
    """The level of the scores is not the same in all of them, as it is with one reference window for all."""
    sampled = kept([0.0] * 4 + [0.4] * 6, History(str(tmp_path)), reference_rows=80, reference_total=700)
    assert not any(entry.drift for entry in sampled)


def test_a_new_champion_or_reference_starts_again(tmp_path: Path) -> None:
    earlier = kept([0.0] * 8 + [TENTH] * 4, History(str(tmp_path)))
    same = with_evidence(earlier, report(12, TENTH), LIMITS)
    assert same.drift
    for change in ({"model_version": "2"}, {"reference": "another"}):
        again = with_evidence(earlier, report(12, TENTH, **change), LIMITS)
        assert not again.drift
        assert again.sustained == pytest.approx(evidence_of(scores([TENTH]), 0.0), rel=0.2)


def test_windows_that_were_not_judged_or_overlap_do_not_count(tmp_path: Path) -> None:
    earlier = kept([0.0] * 8 + [TENTH] * 2, History(str(tmp_path)))
    unjudged = [replace(entry, status="invalid") for entry in earlier[8:]]
    assert with_evidence([*earlier[:8], *unjudged], report(12, TENTH), LIMITS).sustained == pytest.approx(
        with_evidence(earlier[:8], report(12, TENTH), LIMITS).sustained
    )
    twice = [replace(entry, window=f"{entry.window}-again") for entry in earlier]
    assert with_evidence([*earlier, *twice], report(12, TENTH), LIMITS).sustained == pytest.approx(
        with_evidence(earlier, report(12, TENTH), LIMITS).sustained
    )
