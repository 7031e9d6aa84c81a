from __future__ import annotations

import pandas as pd

from feature_checks.splits import assign_splits, split_of_group


def test_default_reviews_split_as_designed(reviews: pd.DataFrame) -> None:
    assert reviews["split"].value_counts().to_dict() == {"train": 2650, "test": 591, "validation": 467}
    assert reviews.loc[reviews["split"] == "test", "group_id"].nunique() == 52


def test_no_review_stands_in_two_splits(reviews: pd.DataFrame) -> None:
    assert reviews.groupby("group_id")["split"].nunique().max() == 1


def test_added_and_shuffled_rows_move_no_review(reviews: pd.DataFrame) -> None:
    added = pd.DataFrame({"row_id": ["new:1"], "group_id": ["new:1"], "text": ["New."], "label": ["neutral"]})
    grown = assign_splits(pd.concat([added, reviews.drop(columns="split")]).sample(frac=1, random_state=1))
    before = reviews.set_index("row_id")["split"]
    assert grown.set_index("row_id")["split"].loc[before.index].equals(before)


def test_split_follows_the_hash_of_the_group_alone() -> None:
    # int(sha256("1").hexdigest()[:8], 16) % 100 == 19
    assert split_of_group("1") == "train"


def test_a_split_the_data_names_is_kept_and_gaps_are_filled() -> None:
    frame = pd.DataFrame({"group_id": ["1", "1"], "split": ["test", None]})
    assert assign_splits(frame)["split"].tolist() == ["test", split_of_group("1")]
