"""Labels that one user may spoil: the cap, the comparison of users, agreement, and what a poisoner achieves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest

from monitoring import drift_thresholds
from monitoring.windows.label_trust import sift

LIMITS = drift_thresholds.load().feedback
LABELS = np.array(["negative", "neutral", "positive"])


def labels(count: int, user: str, *, right: float, seed: int = 0, prefix: str = "text", day: int = 22) -> pd.DataFrame:
    """Return labels of one user for `count` texts; the model predicts what the user says with the share `right`."""
    random = np.random.default_rng(seed)
    truth = random.integers(0, 3, count)
    predicted = np.where(random.random(count) < right, truth, (truth + 1) % 3)
    return pd.DataFrame({
        "text": [f"{prefix} {number} of {user}" for number in range(count)],
        "true_label": LABELS[truth],
        "predicted": LABELS[predicted],
        "confidence": 0.7,
        "row_id": [f"{prefix}-{user}-{number}" for number in range(count)],
        "labelled_at": [f"2026-11-{day}T10:{n // 60:02}:{n % 60:02}.000+00:00" for n in range(count)],
        "labelled_by": user,
    })  # fmt: skip


def flipped(rows: pd.DataFrame, share: float, seed: int = 1) -> pd.DataFrame:
    """Return the rows with a share of the labels turned into their opposite."""
    random = np.random.default_rng(seed)
    chosen = random.random(len(rows)) < share
    opposite = rows["true_label"].map({"negative": "positive", "positive": "negative", "neutral": "negative"})
    return rows.assign(true_label=rows["true_label"].where(~chosen, opposite))


def team(users: Sequence[str], count: int, seed: int) -> pd.DataFrame:
    """Return labels of several honest users in a domain that the model knows badly (63 % right)."""
    return pd.concat(
        [labels(count, user, right=0.63, seed=seed * 100 + n) for n, user in enumerate(users)], ignore_index=True
    )


def test_honest_labels_of_a_new_domain_are_kept() -> None:
    kept = 0
    for seed in range(20):
        sifted = sift(team(["a", "b", "c", "d", "e"], 80, seed), LIMITS)
        kept += sifted.quarantined.empty
    assert kept == 20


@pytest.mark.parametrize("poisoners", [1, 4])
def test_one_user_who_gives_a_fifth_of_the_labels_and_turns_them_around_has_no_effect(poisoners: int) -> None:
    """Turned around, labels contradict the predictions; also where the user hides behind several days."""
    without_effect = 0
    for seed in range(20):
        honest = team(["a", "b", "c", "d"], 75, seed)
        poison = flipped(labels(75, "eve", right=0.63, seed=seed + 5000), 1.0, seed)
        poison["labelled_at"] = [f"2026-11-{20 + n % poisoners}T10:00:00.000+00:00" for n in range(len(poison))]
        sifted = sift(pd.concat([honest, poison], ignore_index=True), LIMITS)
        without_effect += set(sifted.accepted["labelled_by"]) == {"a", "b", "c", "d"}
    assert without_effect >= 19


def test_a_user_who_turns_a_fifth_of_their_own_labels_around_spoils_few_of_all() -> None:
    honest = team(["a", "b", "c", "d"], 75, 1)
    own = labels(75, "eve", right=0.63, seed=9)
    sifted = sift(pd.concat([honest, flipped(own, 0.2)], ignore_index=True), LIMITS)
    truth = pd.concat([honest, own]).set_index("row_id")["true_label"]
    accepted = sifted.accepted.set_index("row_id")["true_label"]
    assert (accepted != truth[accepted.index]).mean() < 0.05


def test_a_user_has_a_cap_for_each_day() -> None:
    many = pd.concat([labels(400, "eve", right=1.0, prefix=f"day {day}", day=day) for day in (21, 22)])
    sifted = sift(many, LIMITS)
    assert len(sifted.accepted) == 2 * LIMITS.max_user_labels
    assert set(sifted.quarantined["why"]) == {"its user gave more than 300 labels that day"}


def one(text: str, label: str, user: str, *, predicted: str = "positive", confidence: float = 0.7) -> pd.DataFrame:
    row = {
        "text": text, "true_label": label, "predicted": predicted, "confidence": confidence,
        "row_id": f"{text}-{user}", "labelled_at": "2026-11-22T10:00:00.000+00:00", "labelled_by": user,
    }  # fmt: skip
    return pd.DataFrame([row])


def test_the_majority_of_users_decides_about_a_text() -> None:
    votes = pd.concat(
        [one("It  is ok.", "neutral", "a"), one("It is ok.", "neutral", "b"), one("It is ok.", "negative", "c")]
    )
    sifted = sift(votes, LIMITS)
    assert sifted.accepted["true_label"].tolist() == ["neutral"]
    assert sifted.quarantined[["labelled_by", "why"]].to_numpy().tolist() == [["c", "users disagree about the text"]]


def test_a_label_against_a_confident_prediction_needs_a_second_user() -> None:
    lone = one("Great!", "negative", "a", confidence=0.99)
    assert sift(lone, LIMITS).accepted.empty
    assert "no second user confirms it" in sift(lone, LIMITS).quarantined["why"].iloc[0]
    confirmed = pd.concat([lone, one("Great!", "negative", "b", confidence=0.99)])
    assert sift(confirmed, LIMITS).accepted["true_label"].tolist() == ["negative"]
    assert sift(one("Great!", "positive", "a", confidence=0.99), LIMITS).quarantined.empty


def test_the_order_of_the_labels_does_not_matter() -> None:
    given = pd.concat([team(["a", "b"], 60, 3), flipped(labels(60, "eve", right=0.63), 1.0)], ignore_index=True)
    first, second = sift(given, LIMITS), sift(given.sample(frac=1, random_state=1), LIMITS)
    for part in ("accepted", "quarantined"):
        assert set(getattr(first, part)["row_id"]) == set(getattr(second, part)["row_id"])


def test_no_labels_are_no_problem() -> None:
    empty = labels(0, "a", right=1.0)
    assert sift(empty, LIMITS).accepted.empty
    assert sift(empty, LIMITS).quarantined.empty
