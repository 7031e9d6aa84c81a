"""What simulated years must show, as figures with intervals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from scipy.stats import binomtest

from pipelines.simulation.scenarios import ANCHOR, SCENARIOS, SETTLED, START, WEEKS
from pipelines.simulation.year import Year

Years = Mapping[str, Sequence[Year]]
MARGIN: Final = 0.02
"""Largest fall or gap of macro-F1 that counts as none."""
SEEN_WITHIN: Final = 6
RESAMPLES: Final = 2000


@dataclass(frozen=True)
class Criterion:
    """One thing that the years of a scenario must show."""

    scenario: str
    what: str
    needed: str
    value: float
    low: float
    """Lower end of the 95 % interval over seeds."""
    high: float
    years: int
    holds: bool

    def to_dict(self) -> dict[str, Any]:
        """Return the criterion as JSON types."""
        return asdict(self)


def criteria(years: Years) -> list[Criterion]:
    """Return every criterion that the scenarios among `years` allow to judge.

    Example: `all(criterion.holds for criterion in criteria({"quiet": quiet_years}))`.
    """
    found = [criterion for name, group in years.items() if group for criterion in _of_scenario(name, group)]
    if years.get("poisoned") and years.get("sudden"):
        found.append(_poisoning(years["poisoned"], {year.seed: year for year in years["sudden"]}))
    return found


def _of_scenario(name: str, years: Sequence[Year]) -> Iterator[Criterion]:
    retrainings = [float(len(trained(year))) for year in years]
    if name == "quiet":
        yield _mean(name, "retrainings in a year", "at most 0.1", retrainings, high=0.1)
        yield _mean(
            name, "weeks with drift in a year", "at most 1", [float(sum(drifts(year))) for year in years], high=1
        )
    if name in {"sudden", "slow"}:
        yield _share(name, "years with 1 or 2 retrainings", "all", [1 <= count <= 2 for count in retrainings], 1.0)
        yield _mean(name, f"gap of tweets to training on all labels at once, {SETTLED} weeks after the shift",
                    f"at most {MARGIN}", [gap_after_shift(year) for year in years], high=MARGIN)  # fmt: skip
    if name == "season":
        third = [any(week >= START + 24 for week in trained(year)[2:]) for year in years]
        yield _share(
            name, "years without a third retraining when the season comes back", "all", [not bad for bad in third], 1.0
        )
        again = [not any(week >= START + 24 for week in trained(year)) for year in years]
        yield _share(name, "years without any retraining when the season comes back", "reported", again, 0.0)
    if name == "none":
        yield _mean(name, "retrainings in a year", "0", retrainings, high=0.0)
        asked = [any(week.requested for week in year.weeks[START:]) for year in years]
        yield _share(name, "years in which labels are asked for", "all", asked, 1.0)
    if name == "tenth":
        seen = [any(drifts(year)[START : START + SEEN_WITHIN]) for year in years]
        yield _share(name, f"years in which it is seen within {SEEN_WITHIN} weeks", "at least 90 %", seen, 0.9)
        early = [sum(drifts(year)[:START]) * WEEKS / START for year in years]
        yield _mean(
            name, f"weeks with drift in the {START} weeks before, as so many a year", "at most 1", early, high=1
        )
    if name == "upstream":
        yield _mean(name, "retrainings in a year", "reported", retrainings, high=np.inf)
    worst = [worst_fall(year) for year in years]
    yield _share(name, f"years with the anchor never more than {MARGIN} below the best ever", "all",
                 [fall <= MARGIN + 1e-9 for fall in worst], 1.0)  # fmt: skip


def trained(year: Year) -> list[int]:
    """Return the weeks (from 0) at whose end a candidate was trained, promoted or not."""
    return [number for number, week in enumerate(year.weeks) if week.candidate]


def drifts(year: Year) -> list[bool]:
    """Return for each week whether its window showed drift."""
    return [week.drift for week in year.weeks]


def worst_fall(year: Year) -> float:
    """Return how far the champion's macro-F1 on the anchor domain was below the best so far, at most."""
    values = [week.macro_f1[ANCHOR] for week in year.weeks]
    return float(max(np.maximum.accumulate(values) - values))


def gap_after_shift(year: Year) -> float:
    """Return by how much the champion is below training on all labels at once, on the new domain after the shift."""
    scenario = SCENARIOS[year.scenario]
    week = min((scenario.shifted_by or 0) + SETTLED, len(year.weeks) - 1)
    return year.at_once[scenario.new_domain] - year.weeks[week].macro_f1[scenario.new_domain]


def _poisoning(years: Sequence[Year], clean: Mapping[int, Year]) -> Criterion:
    """Return the share of years in which no candidate is trained on the user's labels, or which end no worse."""
    harmless = []
    for year in years:
        refused = not any(week.poisoned_rows for week in year.weeks)
        if year.seed in clean:
            harmless.append(refused or _no_worse(year, clean[year.seed]))
    what = "years in which no label of the user is trained on, or that end no worse than without the user"
    return _share("poisoned", what, "at least 95 %", harmless, 0.95)


def _no_worse(year: Year, clean: Year) -> bool:
    """Return whether a year ends with models as good as another one's, on the anchor and on the new domain."""
    before, after = clean.weeks[-1].macro_f1, year.weeks[-1].macro_f1
    return all(after[domain] >= before[domain] - MARGIN for domain in (ANCHOR, SCENARIOS[year.scenario].new_domain))


def _mean(scenario: str, what: str, needed: str, values: Sequence[float], *, high: float) -> Criterion:
    """Return a mean with its percentile-bootstrap interval over the years."""
    drawn = np.random.default_rng(0).choice(values, (RESAMPLES, len(values))).mean(axis=1)
    low, top = (float(bound) for bound in np.quantile(drawn, [0.025, 0.975]))
    mean = float(np.mean(values))
    return Criterion(scenario, what, needed, mean, low, top, len(values), mean <= high + 1e-9)


def _share(scenario: str, what: str, needed: str, held: Sequence[bool], least: float) -> Criterion:
    """Return a share with its exact binomial (Clopper-Pearson) interval."""
    if not held:
        return Criterion(scenario, what, needed, 0.0, 0.0, 1.0, 0, holds=False)
    interval = binomtest(sum(held), len(held)).proportion_ci(confidence_level=0.95, method="exact")
    share = sum(held) / len(held)
    return Criterion(
        scenario, what, needed, share, float(interval.low), float(interval.high), len(held), share >= least
    )
