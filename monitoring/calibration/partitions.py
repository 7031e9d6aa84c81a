"""Pairs of windows without drift: a reference and a current window, cut from one domain by whole reviews.

A partition shuffles the reviews of one domain and cuts two windows from them that share no review. The windows of two
partitions overlap, because the data is limited. The confidence intervals treat partitions as independent draws, so
they are a little too narrow.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from feature_checks.contract import GROUP_ID
from monitoring.drift import detectors
from monitoring.drift.detectors import Family
from monitoring.windows.file_reader import read_table
from monitoring.windows.window import WindowError, known_columns

Pair = tuple[pd.DataFrame, pd.DataFrame]
"""A reference window and a current window."""


def read_reviews(*paths: str) -> pd.DataFrame:
    """Read data for calibration: `text`, `group_id`, and predictions (`label`, `confidence`) if there are any."""
    return pd.concat([_read_reviews(path) for path in paths], ignore_index=True)


def _read_reviews(path: str) -> pd.DataFrame:
    frame = read_table(path)
    if GROUP_ID not in frame.columns:
        raise WindowError(f"{path}: found the columns {list(frame.columns)}; expected {GROUP_ID!r} among them")
    return known_columns(frame).assign(**{GROUP_ID: frame[GROUP_ID].astype(str).to_numpy()})


def partition(frame: pd.DataFrame, sizes: tuple[int, int], seed: int) -> Pair:
    """Return a reference and a current window of these sizes that share no review.

    Raises WindowError if there are too few rows.

    Example: `reference, current = partition(reviews, (1500, 500), seed=0)`.
    """
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


def with_other_domain(current: pd.DataFrame, other: pd.DataFrame, share: float, seed: int) -> pd.DataFrame:
    """Return the current window with a share of its rows replaced by rows of another domain."""
    count = round(share * len(current))
    kept = current.sample(len(current) - count, random_state=seed)
    return pd.concat([kept, other.sample(count, random_state=seed)], ignore_index=True)


def scores_of(reference: pd.DataFrame, current: pd.DataFrame, family: Family) -> dict[str, float]:
    """Return the score of every available detector of the family for a pair of windows."""
    if family == "text":
        reference, current = detectors.with_text_scores(reference, current)
    members = {detector.name for detector in detectors.DETECTORS if detector.watches == family}
    return {name: score for name, score in detectors.scores(reference, current).items() if name in members}
