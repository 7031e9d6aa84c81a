"""Three data sets as users have them, written from the easy reviews."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from tests.support.tiny_models import easy_reviews


def two_class_csv(folder: Path) -> str:
    """Write a CSV with `review` and `sentiment` (pos, neg) and no neutral rows; return its path."""
    rows = easy_reviews()
    rows = rows[rows["label"] != "neutral"]
    path = folder / "two-classes.csv"
    table = pd.DataFrame({"id": rows.index, "review": rows["text"], "sentiment": rows["label"].str[:3]})
    table.sample(frac=1, random_state=0).to_csv(path, index=False)
    return str(path)


def five_star_jsonl(folder: Path) -> str:
    """Write a JSONL with the columns `Customer Comment` and `Grade` (1 to 5 stars); return its path."""
    rows = easy_reviews().sample(frac=1, random_state=0, ignore_index=True)
    low = rows["label"].map({"negative": 1, "neutral": 3, "positive": 4})
    stars = low + (rows.index % 2) * (rows["label"] != "neutral")
    path = folder / "stars.jsonl"
    table = pd.DataFrame({"Customer Comment": rows["text"], "Grade": stars, "when": "2026-01-01"})
    table.to_json(path, orient="records", lines=True)
    return str(path)


def parquet_folder_with_duplicates(folder: Path) -> str:
    """Write a folder of Parquet files in which every fourth row stands twice; return its path."""
    rows = easy_reviews().drop(columns="group_id").sample(frac=1, random_state=0, ignore_index=True)
    root = folder / "parts"
    (root / "year=2025").mkdir(parents=True)
    rows[:300].to_parquet(root / "year=2025" / "a.parquet", index=False)
    pd.concat([rows[300:], rows[::4]]).to_parquet(root / "b.parquet", index=False)
    return str(root)
