from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from components.datasets.labels import map_spellings, scale_of, votes_of_ratings

NEGATIVE, NEUTRAL, POSITIVE = "negative", "neutral", "positive"


@pytest.mark.parametrize(
    ("found", "labels"),
    [
        (["pos", "NEG", " Neutral "], [POSITIVE, NEGATIVE, NEUTRAL]),
        (["POSITIVE", None], [POSITIVE, None]),
        ([0, 1], [NEGATIVE, POSITIVE]),
        ([0.0, 1.0], [NEGATIVE, POSITIVE]),
        (["0", "1", "2"], [NEGATIVE, NEUTRAL, POSITIVE]),
        ([-1, 0, 1], [NEGATIVE, NEUTRAL, POSITIVE]),
        ([0, 4], [NEGATIVE, POSITIVE]),
        ([1, 2, 3, 4, 5], [NEGATIVE, NEGATIVE, NEUTRAL, POSITIVE, POSITIVE]),
        (["1", "2", "4", "5"], [NEGATIVE, NEGATIVE, POSITIVE, POSITIVE]),
    ],
)
def test_usual_spellings_become_labels(found: list[Any], labels: list[Any]) -> None:
    assert map_spellings(pd.Series(found, dtype=object)).tolist() == labels


@pytest.mark.parametrize("found", [["angry", "7"], [1, 2], [0, 9]])
def test_unknown_and_ambiguous_spellings_are_left_for_the_check(found: list[Any]) -> None:
    assert map_spellings(pd.Series(found, dtype=object)).tolist() == found


@pytest.mark.parametrize(("ratings", "scale"), [([1, 5], "1..5"), ([0, 4], "-4..4"), ([-4.0, 4.0], "-4..4")])
def test_stars_are_recognised_by_their_lowest_rating(ratings: list[float], scale: str) -> None:
    assert scale_of(pd.Series(ratings, dtype=float).to_numpy(), "auto") == scale


def test_votes_in_stars_are_moved_to_zero() -> None:
    votes = votes_of_ratings(pd.Series([[1, 3, 5], None]), "ratings", "1..5")
    assert votes.tolist() == [[-2.0, 0.0, 2.0], None]
