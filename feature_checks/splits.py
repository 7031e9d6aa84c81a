"""Which split a review belongs to."""

from __future__ import annotations

import hashlib

import pandas as pd

from feature_checks.contract import FEEDBACK_SOURCE, GROUP_ID, SOURCE, SPLIT, TEXT, Split, normalise


def split_of_group(group_id: str) -> Split:
    """Return the split of a review: 65 % train, 15 % validation, 20 % test by the hash of its id alone.

    Added rows, another seed or another order never move a review, so a champion's test rows never reach a later
    candidate's training.
    """
    bucket = int(hashlib.sha256(group_id.encode()).hexdigest()[:8], 16) % 100
    if bucket < 65:
        return "train"
    return "validation" if bucket < 80 else "test"


def assign_splits(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with `split` filled in by `split_of_group` wherever the data does not name one itself."""
    by_hash = frame[GROUP_ID].astype(str).map(split_of_group)
    if SPLIT not in frame.columns:
        return frame.assign(**{SPLIT: by_hash})
    return frame.assign(**{SPLIT: frame[SPLIT].astype(object).where(frame[SPLIT].notna(), by_hash)})


def without_held_out_feedback(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame, its splits assigned, without feedback on texts that stand in validation or test.

    Whoever scores a held-out text and sends its label would else have the next candidate trained on it.
    """
    if SOURCE not in frame.columns:
        return frame
    texts = frame[TEXT].map(normalise)
    feedback = frame[SOURCE] == FEEDBACK_SOURCE
    held_out = set(texts[(frame[SPLIT] != "train") & ~feedback])
    return frame[~(feedback & texts.isin(held_out))].reset_index(drop=True)
