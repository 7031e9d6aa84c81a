"""The grid of windows: the same window for every run within one interval."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.windows.grid import last_full_window
from monitoring.windows.window import WindowError

MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


def test_a_day_ends_at_midnight_and_a_week_on_monday() -> None:
    moment = datetime(2026, 11, 25, 15, 20, tzinfo=UTC)
    assert last_full_window(moment, 24) == (datetime(2026, 11, 24, tzinfo=UTC), datetime(2026, 11, 25, tzinfo=UTC))
    assert last_full_window(moment, 168) == (datetime(2026, 11, 16, tzinfo=UTC), datetime(2026, 11, 23, tzinfo=UTC))
    assert last_full_window(moment, 1)[1] == datetime(2026, 11, 25, 15, tzinfo=UTC)


@given(MOMENTS, st.sampled_from([1, 6, 24, 168]), st.floats(0, 0.999))
def test_a_late_run_gets_the_same_window_and_the_next_interval_the_next_one(
    moment: datetime, hours: int, late: float
) -> None:
    start, end = last_full_window(moment, hours)
    assert end - start == timedelta(hours=hours)
    assert end <= moment < end + timedelta(hours=hours)
    assert last_full_window(end + late * timedelta(hours=hours), hours) == (start, end)
    assert last_full_window(end + timedelta(hours=hours), hours)[0] == end


def test_the_time_zone_does_not_matter() -> None:
    moment = datetime(2026, 11, 25, 1, tzinfo=timezone(timedelta(hours=2)))
    assert last_full_window(moment, 24)[1] == datetime(2026, 11, 24, tzinfo=UTC)


@pytest.mark.parametrize("hours", [0, -24, float("nan")])
def test_a_length_that_is_not_positive_is_refused(hours: float) -> None:
    with pytest.raises(WindowError, match="expected a positive number"):
        last_full_window(datetime(2026, 11, 25, tzinfo=UTC), hours)
