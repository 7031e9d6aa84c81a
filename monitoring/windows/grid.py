"""The grid of windows: every window of a given length starts at a fixed time, whenever the run happens."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from monitoring.windows.window import WindowError

ORIGIN: Final = datetime(2024, 1, 1, tzinfo=UTC)
"""A Monday, so that windows of a week start on Monday and windows of a day at midnight (UTC)."""


def last_full_window(moment: datetime, hours: float) -> tuple[datetime, datetime]:
    """Return the start and the end of the last window of the grid that was complete at `moment`.

    A late or repeated run within the same `hours` gets the same window. Raises WindowError unless `hours` is positive.

    Example: `last_full_window(datetime(2026, 11, 23, 15, tzinfo=UTC), 24)` is all of 22 November 2026.
    """
    if not hours > 0:
        raise WindowError(f"the window length is {hours:g} hours; expected a positive number")
    length = timedelta(hours=hours)
    end = ORIGIN + (moment - ORIGIN) // length * length
    return end - length, end
