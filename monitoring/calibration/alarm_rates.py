"""Measures how often windows with and without drift alarm, on other partitions than the calibration used."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import pandas as pd
from scipy.stats import binomtest

from monitoring.calibration.partitions import Pair, partition, scores_of, with_other_domain
from monitoring.drift import detectors
from monitoring.drift.detectors import Family
from monitoring.drift_thresholds import Thresholds

EVALUATION_SEEDS: Final = range(40)
SHARES: Final = (1.0, 0.3, 0.1)
"""Shares of the current window that are replaced by rows of another domain."""


@dataclass(frozen=True)
class AlarmRate:
    """The share of partitions that alarmed, with its exact (Clopper-Pearson) 95 % interval."""

    case: str
    """What the current window was made of."""
    family: Family
    """The detectors that were measured."""
    alarms: int
    """Number of partitions in which any detector of the family alarmed."""
    partitions: int
    """Number of partitions that were measured."""
    rate: float
    """`alarms / partitions`."""
    low: float
    """Lower end of the interval."""
    high: float
    """Upper end of the interval."""
    by_detector: Mapping[str, int]
    """Number of partitions in which each detector alarmed."""
    reference_rows: int
    """Rows of each reference window."""
    current_rows: int
    """Rows of each current window."""


def alarm_rate(case: str, pairs: Sequence[Pair], thresholds: Thresholds, family: Family) -> AlarmRate:
    """Judge pairs of windows and count those in which any detector of the family alarms."""
    alarming = [_alarming_detectors(pair, thresholds, family) for pair in pairs]
    alarms = sum(map(bool, alarming))
    interval = binomtest(alarms, len(pairs)).proportion_ci(confidence_level=0.95, method="exact")
    names = [detector.name for detector in detectors.DETECTORS if detector.watches == family]
    reference, current = pairs[0]
    return AlarmRate(
        case=case,
        family=family,
        alarms=alarms,
        partitions=len(pairs),
        rate=alarms / len(pairs),
        low=float(interval.low),
        high=float(interval.high),
        by_detector={name: sum(name in names_of_pair for names_of_pair in alarming) for name in names},
        reference_rows=len(reference),
        current_rows=len(current),
    )


def _alarming_detectors(pair: Pair, thresholds: Thresholds, family: Family) -> list[str]:
    measurements = detectors.judge(scores_of(*pair, family), thresholds, (len(pair[0]), len(pair[1])))
    return [measurement.detector for measurement in measurements if measurement.alarm]


def alarm_rates(
    same: pd.DataFrame,
    others: Mapping[str, pd.DataFrame],
    thresholds: Thresholds,
    family: Family,
    sizes: tuple[int, int],
    seeds: Sequence[int] = EVALUATION_SEEDS,
) -> list[AlarmRate]:
    """Return the false-alarm rate on one domain, and the alarm rates with rows of other domains.

    Example: `alarm_rates(reviews, {"tweets": tweets}, drift_thresholds.load(), "text", (1500, 500))`.
    """
    pairs = [partition(same, sizes, seed) for seed in seeds]
    rates = [alarm_rate("same domain", pairs, thresholds, family)]
    for name, other in others.items():
        for share in SHARES:
            shifted = [
                (reference, with_other_domain(current, other, share, seed))
                for seed, (reference, current) in zip(seeds, pairs, strict=True)
            ]
            rates.append(alarm_rate(f"{share:.0%} {name}", shifted, thresholds, family))
    return rates


def table(rates: Sequence[AlarmRate]) -> str:
    """Return the rates as a Markdown table."""
    lines = [
        f"| Current window ({rates[0].current_rows} rows) | alarms | rate | 95 % interval |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {rate.case} | {rate.alarms} of {rate.partitions} | {rate.rate:.1%} | {rate.low:.1%} to {rate.high:.1%} |"
        for rate in rates
    ]
    return "\n".join(lines)


def save(path: Path, rates: Sequence[AlarmRate]) -> None:
    """Write the rates as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([asdict(rate) for rate in rates], indent=2) + "\n", encoding="utf-8")
