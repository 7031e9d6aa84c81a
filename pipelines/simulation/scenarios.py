"""What happens in a simulated year: where the traffic comes from, who labels it, and what goes wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

Mix = Mapping[str, float]
"""Shares of the domains in one week's traffic; they add up to 1."""
Fault = Literal["", "error_page", "cut"]
FAULTS: Final = ("error_page", "cut")

ANCHOR: Final = "amazon"
NEW: Final = "tweets"
SECOND: Final = "nyt"
START: Final = 12
"""The week (from 0) in which the traffic of a scenario starts to change."""

WEEKS: Final = 52
"""Length of a year."""

SETTLED: Final = 4
"""Weeks after a shift within which the loop must have followed it."""


@dataclass(frozen=True)
class Scenario:
    """One kind of year."""

    name: str
    summary: str
    """What happens, for people."""
    mix: Callable[[int], Mix]
    """The traffic of a week, counted from 0."""
    answered: float = 1.0
    """Share of the requested labels that people give."""
    delay: int = 1
    """Weeks from a request to its labels."""
    poisoned: float = 0.0
    """Share of the labels that come from one user, who gives wrong ones."""
    fault: Callable[[int], Fault] = lambda week: ""  # noqa: ARG005
    """What is wrong with the texts of a week."""
    shifted_by: int | None = None
    """Week in which the shift is complete, if there is one."""
    new_domain: str = NEW
    """Domain that the traffic moves to."""


def _quiet(week: int) -> Mix:
    del week
    return {ANCHOR: 1.0}


def _share(domain: str, share: float) -> Mix:
    return {ANCHOR: 1.0 - share, domain: share} if share < 1 else {domain: 1.0}


def _sudden(week: int) -> Mix:
    return _share(NEW, float(week >= START))


def _slow(week: int) -> Mix:
    """Return a mix in which the new domain grows by a tenth a week."""
    return _share(NEW, min(max(week - START + 1, 0) / 10, 1.0))


def _season(week: int) -> Mix:
    """Return eight weeks of the new domain, and the same season again sixteen weeks later."""
    return _share(NEW, float(START <= week < START + 8 or START + 24 <= week < START + 32))


def _tenth(week: int) -> Mix:
    return _share(SECOND, 0.1 * (week >= START))


def _fault(week: int) -> Fault:
    """Return two weeks of error pages instead of texts, and later four weeks of texts that are cut."""
    if START <= week < START + 2:
        return "error_page"
    return "cut" if START + 8 <= week < START + 12 else ""


SCENARIOS: Final[Mapping[str, Scenario]] = {
    scenario.name: scenario
    for scenario in (
        Scenario("quiet", "product reviews all year", _quiet),
        Scenario("sudden", "tweets only from week 13 on", _sudden, shifted_by=START),
        Scenario("slow", "tweets grow by a tenth a week from week 13 on", _slow, shifted_by=START + 9),
        Scenario("season", "two seasons of eight weeks of tweets", _season, shifted_by=START),
        Scenario("late", "sudden shift; labels arrive after six weeks", _sudden, delay=6, shifted_by=START),
        Scenario("few", "sudden shift; a tenth of the labels", _sudden, answered=0.1, shifted_by=START),
        Scenario("none", "sudden shift; no labels", _sudden, answered=0.0, shifted_by=START),
        Scenario("poisoned", "sudden shift; one user gives 20 % of the labels, all wrong", _sudden,
                 poisoned=0.2, shifted_by=START),
        Scenario("upstream", "two weeks of error pages, four weeks of cut texts", _quiet, fault=_fault),
        Scenario("tenth", "a tenth of editorials from week 13 on", _tenth, new_domain=SECOND),
    )
}  # fmt: skip
