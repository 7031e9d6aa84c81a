"""Give every row its split, by review."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from feature_checks.contract import SPLIT, SPLITS, Split
from feature_checks.splits import assign_splits


def split(data: Path, output: Path) -> dict[Split, int]:
    """Write the data set with its `split` column; return the row count of each split.

    A split that the data already names is kept (the check has made sure that no review stands in two).
    """
    frame = assign_splits(pd.read_parquet(data))
    output.parent.mkdir(parents=True, exist_ok=True)
    frame.to_parquet(output, index=False)
    return {name: int((frame[SPLIT] == name).sum()) for name in SPLITS}
