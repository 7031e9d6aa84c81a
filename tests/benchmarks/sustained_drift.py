"""How often evidence over weeks reaches its threshold: without drift, and with a tenth of another domain.

.venv/bin/python -m tests.benchmarks.sustained_drift

A year has 52 windows of 500 Amazon sentences, drawn by whole reviews that are not in the reference window. A shifted
year has ten such windows and then six with a tenth of another domain.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from components.datasets import icwsm2014
from feature_checks.splits import assign_splits
from monitoring import drift_thresholds
from monitoring.drift.sustained import Score, evidence_of
from monitoring.drift.unseen_words import with_unseen_words

OTHERS = ("tweets", "nyt", "movies")
ROWS, BEFORE, AFTER, YEAR = 500, 10, 6, 52
LIMITS = drift_thresholds.load()


def references(amazon: pd.DataFrame) -> list[tuple[str, pd.DataFrame, pd.DataFrame, int]]:
    """Return name, reference window, the other reviews and the number of years for each reference window."""
    validation = amazon["split"] == "validation"
    found = [("validation split", amazon[validation], amazon[~validation], 10)]
    for seed in range(7):
        groups = np.random.default_rng(seed).permutation(amazon["group_id"].unique())
        position = amazon["group_id"].map({group: number for number, group in enumerate(groups)})
        shuffled = amazon.iloc[np.argsort(position.to_numpy(), kind="stable")]
        for rows in (467, 1500):
            reference = shuffled[:rows]
            rest = shuffled[~shuffled["group_id"].isin(set(reference["group_id"]))]
            found.append((f"{rows} random rows", reference, rest, 6))
    return found


def rises(reference: pd.DataFrame, rows: pd.DataFrame) -> np.ndarray:
    """Return each row's unseen words above the reference's mean, in the reference's standard deviations."""
    before, now = with_unseen_words(reference, rows)
    deviation = before["unseen_words"].std(ddof=0)
    return (now["unseen_words"].to_numpy() - before["unseen_words"].mean()) / deviation


def reaches(values: list[float], reference_rows: int, first: int) -> bool:
    """Return whether the evidence reaches the threshold in any window from `first` on."""
    spread = LIMITS.sustained.reference_spread * (LIMITS.window.reference_rows / reference_rows) ** 0.5
    scores = [Score(value, LIMITS.sustained.window_spread, spread) for value in values]
    found = [evidence_of(scores[: end + 1], 0.0) for end in range(first, len(scores))]
    return max(found) >= LIMITS.sustained.threshold


def main() -> None:
    """Print a line for each kind of reference window and each kind of year."""
    reviews = assign_splits(icwsm2014.load(list(icwsm2014.DOMAINS), Path(".local/data")))
    outcomes: dict[tuple[str, str], list[bool]] = {}
    for name, reference, rest, years in references(reviews[reviews["source"] == "amazon"].reset_index(drop=True)):
        same = rises(reference, rest)
        other = {domain: rises(reference, reviews[reviews["source"] == domain]) for domain in OTHERS}
        groups = list(rest.reset_index(drop=True).groupby("group_id").indices.values())

        def window(
            random: np.random.Generator, domain: str = "", same: Any = same, other: Any = other, groups: Any = groups
        ) -> float:
            order = random.permutation(len(groups))
            values = same[np.concatenate([groups[number] for number in order])[:ROWS]]
            if domain:
                shifted = random.choice(other[domain], ROWS // 10, replace=False)
                values = np.concatenate([random.permutation(values)[: ROWS - len(shifted)], shifted])
            return float(values.mean())

        for seed in range(years):
            random = np.random.default_rng(seed)
            quiet = reaches([window(random) for _ in range(YEAR)], len(reference), 0)
            outcomes.setdefault((name, "no drift, 52 windows"), []).append(quiet)
            for domain in OTHERS:
                random = np.random.default_rng(100 + seed)
                values = [window(random) for _ in range(BEFORE)] + [window(random, domain) for _ in range(AFTER)]
                seen = reaches(values, len(reference), BEFORE)
                outcomes.setdefault((name, f"10 % {domain}, {AFTER} windows"), []).append(seen)
    for (name, case), held in outcomes.items():
        print(f"{name:18} {case:24} {sum(held)} of {len(held)} years reach the threshold")


if __name__ == "__main__":
    main()
