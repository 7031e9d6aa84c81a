"""Thresholds from windows without drift, and the claim that they hold, on partitions by whole reviews.

A partition shuffles the reviews of one domain and cuts a reference and a current window from them that share no
review. Calibration and claim use different seeds. The windows of two partitions overlap (there is only so much data),
so the intervals, which take partitions as independent draws, are a little too narrow.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from feature_checks.contract import GROUP_ID
from monitoring import detectors
from monitoring.detectors import Family
from monitoring.thresholds import Thresholds
from monitoring.window import WindowError, prepare, read_table

CALIBRATION_SEEDS: Final = range(1000, 1200)
CLAIM_SEEDS: Final = range(40)
TARGET_FALSE_ALARM_RATE: Final = 0.005
SHARES: Final = (1.0, 0.3, 0.1)

Pair = tuple[pd.DataFrame, pd.DataFrame]


@dataclass(frozen=True)
class Calibration:
    """Margins for which at most a share `target` of the calibration windows alarmed in any detector of the family."""

    family: Family
    margins: Mapping[str, float]
    """At the sizes in thresholds.toml, whatever the sizes of the calibration windows."""
    spreads: float
    """Every alarm threshold is the detector's mean plus so many standard deviations over the calibration windows."""
    means: Mapping[str, float]
    standard_deviations: Mapping[str, float]
    false_alarms: int
    partitions: int
    reference_rows: int
    current_rows: int


@dataclass(frozen=True)
class Claim:
    """How many partitions alarmed, and the exact (Clopper-Pearson) 95 % interval of the rate."""

    case: str
    family: Family
    alarms: int
    partitions: int
    rate: float
    low: float
    high: float
    by_detector: Mapping[str, int]
    reference_rows: int
    current_rows: int


def read_reviews(*paths: str) -> pd.DataFrame:
    """Read data for calibration: `text`, `group_id`, and predictions (`label`, `confidence`) where there are any."""
    return pd.concat([_read_reviews(path) for path in paths], ignore_index=True)


def _read_reviews(path: str) -> pd.DataFrame:
    frame = read_table(path)
    if GROUP_ID not in frame.columns:
        raise WindowError(f"{path}: found the columns {list(frame.columns)}; expected {GROUP_ID!r} among them")
    return prepare(frame).assign(**{GROUP_ID: frame[GROUP_ID].astype(str).to_numpy()})


def partition(frame: pd.DataFrame, sizes: tuple[int, int], seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return a reference and a current window of these sizes that share no review."""
    groups = np.random.default_rng(seed).permutation(frame[GROUP_ID].unique())
    position = frame[GROUP_ID].map({group: index for index, group in enumerate(groups)})
    shuffled = frame.iloc[np.argsort(position.to_numpy(), kind="stable")].reset_index(drop=True)
    reference = shuffled[: sizes[0]]
    rest = shuffled[~shuffled[GROUP_ID].isin(set(reference[GROUP_ID]))]
    if len(rest) < sizes[1]:
        raise WindowError(
            f"{len(frame)} rows give no windows of {sizes[0]} and {sizes[1]} rows without a shared review; "
            "expected more rows or smaller windows"
        )
    return reference, rest[: sizes[1]]


def mixture(current: pd.DataFrame, other: pd.DataFrame, share: float, seed: int) -> pd.DataFrame:
    """Return the current window with a share of its rows replaced by rows of another domain."""
    count = round(share * len(current))
    kept = current.sample(len(current) - count, random_state=seed)
    return pd.concat([kept, other.sample(count, random_state=seed)], ignore_index=True)


def scores_of(reference: pd.DataFrame, current: pd.DataFrame, family: Family) -> dict[str, float]:
    """Return the score of every available detector of the family for a pair of windows."""
    if family == "text":
        reference, current = detectors.with_domain_scores(reference, current)
    members = {one.name for one in detectors.DETECTORS if one.watches == family}
    return {name: score for name, score in detectors.scores(reference, current).items() if name in members}


def calibrate(
    frame: pd.DataFrame,
    thresholds: Thresholds,
    family: Family,
    sizes: tuple[int, int],
    seeds: Sequence[int] = CALIBRATION_SEEDS,
    target: float = TARGET_FALSE_ALARM_RATE,
) -> Calibration:
    """Choose one number of standard deviations for all detectors of a family, to alarm at most at `target` together."""
    found = pd.DataFrame([scores_of(*partition(frame, sizes, seed), family) for seed in seeds])
    largest = ((found - found.mean()) / found.std()).max(axis=1)
    spreads = float(np.quantile(largest, 1 - target, method="higher"))
    names = [one.name for one in detectors.DETECTORS if one.name in found]
    means = {name: float(found[name].mean()) for name in names}
    deviations = {name: float(found[name].std()) for name in names}
    above_null = {name: means[name] + spreads * deviations[name] - thresholds.detectors[name].null for name in names}
    return Calibration(
        family=family,
        margins={name: margin / thresholds.spread_ratio(*sizes) for name, margin in above_null.items()},
        spreads=spreads,
        means=means,
        standard_deviations=deviations,
        false_alarms=int((largest > spreads).sum()),
        partitions=len(found),
        reference_rows=sizes[0],
        current_rows=sizes[1],
    )


def claim(case: str, pairs: Sequence[Pair], thresholds: Thresholds, family: Family) -> Claim:
    """Judge pairs of windows and count those in which any detector of the family alarms."""
    outcomes = [_alarms(pair, thresholds, family) for pair in pairs]
    alarms = sum(map(bool, outcomes))
    interval = binomtest(alarms, len(outcomes)).proportion_ci(confidence_level=0.95, method="exact")
    names = [one.name for one in detectors.DETECTORS if one.watches == family]
    reference, current = pairs[0]
    return Claim(
        case=case,
        family=family,
        alarms=alarms,
        partitions=len(outcomes),
        rate=alarms / len(outcomes),
        low=float(interval.low),
        high=float(interval.high),
        by_detector={name: sum(name in outcome for outcome in outcomes) for name in names},
        reference_rows=len(reference),
        current_rows=len(current),
    )


def _alarms(pair: Pair, thresholds: Thresholds, family: Family) -> list[str]:
    found = scores_of(*pair, family)
    judged = detectors.judge(found, thresholds, (len(pair[0]), len(pair[1])))
    return [one.detector for one in judged if one.alarm]


def claims(
    same: pd.DataFrame,
    others: Mapping[str, pd.DataFrame],
    thresholds: Thresholds,
    family: Family,
    sizes: tuple[int, int],
    seeds: Sequence[int] = CLAIM_SEEDS,
) -> list[Claim]:
    """Return the false-alarm rate on one domain and the alarm rate of other domains, whole and mixed in."""
    pairs = [partition(same, sizes, seed) for seed in seeds]
    outcome = [claim("same domain", pairs, thresholds, family)]
    for name, other in others.items():
        for share in SHARES:
            mixed = [
                (reference, mixture(current, other, share, seed))
                for seed, (reference, current) in zip(seeds, pairs, strict=True)
            ]
            outcome.append(claim(f"{share:.0%} {name}", mixed, thresholds, family))
    return outcome


def table(rows: Sequence[Claim]) -> str:
    """Return the claims as a Markdown table."""
    lines = [
        f"| Current window ({rows[0].current_rows} rows) | alarms | rate | 95 % interval |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {row.case} | {row.alarms} of {row.partitions} | {row.rate:.1%} | {row.low:.1%} to {row.high:.1%} |"
        for row in rows
    ]
    return "\n".join(lines)


def write_margins(path: Path, calibration: Calibration) -> None:
    """Replace the margins in a thresholds file; the detectors that were not measured keep theirs."""
    content = path.read_text(encoding="utf-8")
    for name, margin in calibration.margins.items():
        content, count = re.subn(
            rf"(?m)^({name} = {{ null = [0-9.]+, margin = )[0-9.]+( }})", rf"\g<1>{margin:.4f}\g<2>", content
        )
        if count != 1:
            raise WindowError(f"{path}: found {count} lines for the detector {name!r}; expected exactly one")
    path.write_text(content, encoding="utf-8")


def save(path: Path, rows: Calibration | Sequence[Claim]) -> None:
    """Write a measurement as JSON."""
    content: Any = asdict(rows) if isinstance(rows, Calibration) else [asdict(row) for row in rows]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
