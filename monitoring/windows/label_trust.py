"""Decides which labels from feedback may be trained on. Anyone who reaches the predictor can send labels.

A label is set apart, in the quarantine that people read, for one of these reasons:

1. Its user gave more than the cap in one day.
2. Its user's labels contradict the predictions far more often than those of all other users.
3. Users disagree about the text, and no label has the majority.
4. It contradicts a confident prediction, and no second user confirms it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from feature_checks.contract import ROW_ID, TEXT, normalise
from feature_checks.prediction_record import CONFIDENCE, TRUE_LABEL
from monitoring.drift_thresholds import FeedbackLimits
from monitoring.windows.log_reader import LABELLED_AT, LABELLED_BY

PREDICTED: Final = "predicted"
"""Column with the label that the model predicted."""
WHY: Final = "why"
"""Column with the reason why a label is set apart."""


@dataclass(frozen=True)
class SiftedLabels:
    """Labels after the check."""

    accepted: pd.DataFrame
    """One row a text: the majority's label, with the newest time and its user."""
    quarantined: pd.DataFrame
    """The other labels, each with `why`."""


def sift(labels: pd.DataFrame, limits: FeedbackLimits) -> SiftedLabels:
    """Return the labels that may be trained on, and the others with a reason.

    `labels` has one row for each user's label of a text: ROW_ID, TEXT, TRUE_LABEL, PREDICTED, CONFIDENCE, LABELLED_AT
    and LABELLED_BY. The same labels in another order give the same result.

    Example: `sift(store.labels(), drift_thresholds.load().feedback).quarantined["why"]`.
    """
    known = labels.sort_values([LABELLED_AT, ROW_ID], kind="stable", na_position="first").reset_index(drop=True)
    if known.empty:
        return SiftedLabels(known, known.assign(**{WHY: ""}))
    why = pd.Series("", index=known.index, dtype=object)
    why[_over_the_cap(known, limits)] = f"its user gave more than {limits.max_user_labels} labels that day"
    for user in _contradicting_users(known[why == ""], limits):
        chosen = (known[LABELLED_BY] == user) & (why == "")
        why[chosen] = "its user's labels contradict the predictions far more often than those of other users"
    _settle_texts(known, why, limits)
    accepted = known[why == ""]
    accepted = accepted[~known[TEXT].map(normalise)[accepted.index].duplicated(keep="last")]
    return SiftedLabels(accepted, known[why != ""].assign(**{WHY: why[why != ""]}))


def _over_the_cap(labels: pd.DataFrame, limits: FeedbackLimits) -> pd.Series[Any]:
    day = labels[LABELLED_AT].astype(str).str[:10]
    return labels.groupby([labels[LABELLED_BY], day]).cumcount() >= limits.max_user_labels


def _contradicting_users(labels: pd.DataFrame, limits: FeedbackLimits) -> list[str]:
    """Return the users whose labels contradict the predictions much more often than those of all others.

    The most extreme user is taken out first, so that many labels of one user cannot hide that user.
    """
    found: list[str] = []
    rest = labels.assign(contradicts=labels[TRUE_LABEL] != labels[PREDICTED])
    while True:
        excess = {}
        for user, own in rest.groupby(LABELLED_BY):
            others = rest[rest[LABELLED_BY] != user]
            if min(len(own), len(others)) >= limits.min_user_labels:
                excess[str(user)] = own["contradicts"].mean() - others["contradicts"].mean()
        worst = max(excess, key=lambda user: excess[user], default=None)
        if worst is None or excess[worst] <= limits.max_excess:
            return found
        found.append(worst)
        rest = rest[rest[LABELLED_BY] != worst]


def _settle_texts(labels: pd.DataFrame, why: pd.Series[Any], limits: FeedbackLimits) -> None:
    """Set the minority of each text apart, and a lone label that contradicts a confident prediction."""
    counted = labels[why == ""]
    text = counted[TEXT].map(normalise).rename("normalised")
    surprising = (counted[TRUE_LABEL] != counted[PREDICTED]) & (counted[CONFIDENCE] >= limits.unconfirmed_confidence)
    # Of one user's labels for equal texts the last one counts.
    given = counted.assign(normalised=text).drop_duplicates(["normalised", LABELLED_BY], keep="last")
    counts = given.groupby(["normalised", TRUE_LABEL]).size().sort_values(ascending=False, kind="stable")
    by_text = counts.groupby(level=0)
    first, second = by_text.nth(0).reset_index(level=1), pd.Series(by_text.nth(1).droplevel(1))
    majority = text.map(first[TRUE_LABEL])
    several = text.map(second)
    tied = several.notna() & (text.map(first[0]) == several)
    disputed = several.notna() & (tied | (counted[TRUE_LABEL] != majority))
    why[disputed.index[disputed]] = "users disagree about the text"
    lone = surprising & (text.map(by_text.sum()) == 1)
    why[lone.index[lone]] = (
        f"it contradicts a prediction with a confidence of {limits.unconfirmed_confidence} or more, and no "
        "second user confirms it"
    )
