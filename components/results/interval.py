"""The confidence interval that all results share."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Interval:
    """A two-sided 95 % confidence interval."""

    low: float
    high: float

    def __str__(self) -> str:
        """Return the interval as reports show it."""
        return f"{self.low:.3f} to {self.high:.3f}"
