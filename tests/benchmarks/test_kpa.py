"""The autoscaler's arithmetic against cases worked by hand from Knative's formulas."""

from __future__ import annotations

import pytest

from tests.benchmarks.kpa import Kpa, KpaSettings, Window

TEN = KpaSettings(concurrency=10, max_scale=100)
"""A target of 7 requests in flight per pod."""


def test_the_target_is_the_utilised_share_of_the_concurrency_and_at_least_one() -> None:
    assert TEN.target == pytest.approx(7)
    assert KpaSettings(concurrency=1).target == 1


@pytest.mark.parametrize(
    ("stable", "ready", "pods"),
    [
        (21.0, 3, 3),  # ceil(21 / 7)
        (21.1, 3, 4),  # ceil(3.01)
        (0.0, 8, 4),  # at most halved: floor(8 / 2)
        (0.0, 7, 3),  # floor(3.5)
        (0.0, 1, 1),  # minScale
    ],
)
def test_stable_mode_follows_the_stable_window(stable: float, ready: int, pods: int) -> None:
    decision = Kpa(TEN).decide(0, stable, stable, ready)
    assert (decision.pods, decision.panicking) == (pods, False)


def test_panic_begins_at_twice_the_ready_pods_and_scales_on_the_larger_mean() -> None:
    assert not Kpa(TEN).decide(0, 14, 21, 2).panicking  # ceil(21 / 7) / 2 = 1.5
    decision = Kpa(TEN).decide(0, 14, 28, 2)  # ceil(28 / 7) / 2 = 2
    assert (decision.pods, decision.panicking) == (4, True)


def test_nothing_is_taken_away_until_a_stable_window_after_the_last_panic() -> None:
    kpa = Kpa(TEN)
    assert kpa.decide(0, 7, 70, 1).pods == 10
    assert kpa.decide(2, 7, 7, 10).pods == 10
    assert kpa.decide(60, 7, 7, 10).panicking
    assert kpa.decide(62, 7, 7, 10).pods == 5  # stable again, halved


def test_the_scale_up_rate_and_the_bounds_hold() -> None:
    slow = KpaSettings(concurrency=10, max_scale=100, max_scale_up_rate=1.5)
    assert Kpa(slow).decide(0, 700, 14, 3).pods == 5  # ceil(1.5 x 3)
    assert Kpa(KpaSettings(concurrency=10, max_scale=20)).decide(0, 700, 700, 3).pods == 20
    assert Kpa(KpaSettings(concurrency=10, min_scale=0)).decide(0, 0, 0, 1).pods == 0


def test_the_excess_burst_capacity_is_what_the_ready_pods_have_over() -> None:
    assert Kpa(TEN).decide(0, 0, 5, 3).excess_burst == -186  # 30 - 211 - 5
    assert Kpa(KpaSettings(concurrency=100)).decide(0, 0, 5, 3).excess_burst == 84


def test_a_window_is_the_mean_of_its_last_seconds() -> None:
    window = Window(3)
    assert window.mean == 0
    window.add(6)
    assert window.mean == 6
    for value in (0, 0, 3):
        window.add(value)
    assert window.mean == 1
