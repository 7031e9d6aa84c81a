"""Which split a review belongs to, and which rows may be trained on."""

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


def group_of_text(text: str) -> str:
    """Return the group of a text that belongs to no review: a hash, so that copies of a text share one split."""
    return "text:" + hashlib.sha256(normalise(text).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def is_feedback(frame: pd.DataFrame) -> pd.Series[bool]:
    """Return which rows are predictions that were labelled afterwards: the new domain of a retraining."""
    if SOURCE not in frame.columns:
        return pd.Series(False, index=frame.index)
    return frame[SOURCE] == FEEDBACK_SOURCE


def anchor_test(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the test rows that every model of this data is compared on: those that are not feedback.

    The frame needs its splits assigned. New labels never change these rows.

    Example: `anchor_test(pd.read_parquet("split.parquet"))`.
    """
    return frame[(frame[SPLIT] == "test") & ~is_feedback(frame)]


def assign_splits(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with `split` filled in by `split_of_group` wherever the data does not name one itself.

    Example: `assign_splits(frame)["split"].value_counts()`.
    """
    by_hash = frame[GROUP_ID].astype(str).map(split_of_group)
    if SPLIT not in frame.columns:
        return frame.assign(**{SPLIT: by_hash})
    return frame.assign(**{SPLIT: frame[SPLIT].astype(object).where(frame[SPLIT].notna(), by_hash)})


def without_held_out_texts(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame, its splits assigned, without training rows whose text stands in validation or test.

    A copy of a held-out text would be trained on and then judged by. It may come from a second review with the same
    sentence, or from a user who scores a held-out text and sends its label. Feedback on a text of the data itself is
    never held out: nobody can take rows out of training by labelling them.
    """
    texts = frame[TEXT].map(normalise)
    feedback = is_feedback(frame)
    copied = feedback & (frame[SPLIT] != "train") & texts.isin(set(texts[~feedback]))
    frame, texts = frame[~copied], texts[~copied]
    training = frame[SPLIT] == "train"
    held_out = set(texts[~training])
    return frame[~(training & texts.isin(held_out))].reset_index(drop=True)
