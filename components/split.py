"""Give every row its split, by review."""

from __future__ import annotations

import logging
from pathlib import Path

import pandas as pd

from feature_checks.contract import SPLIT, SPLITS
from feature_checks.splits import assign_splits, without_held_out_texts

logger = logging.getLogger(__name__)


def split(data: Path, output: Path) -> dict[str, int]:
    """Write the data set with its `split` column; return the row count of each split and of what was left out.

    A split that the data already names is kept (the check has made sure that no review stands in two). Training rows
    whose text also stands in validation or test are left out.

    Example: `split(Path("reviews.parquet"), Path("split.parquet"))["train"]`.
    """
    assigned = assign_splits(pd.read_parquet(data))
    frame = without_held_out_texts(assigned)
    left_out = len(assigned) - len(frame)
    if left_out:
        logger.warning("%d training rows are left out: their texts stand in validation or test", left_out)
    output.parent.mkdir(parents=True, exist_ok=True)
    frame.to_parquet(output, index=False)
    return {name: int((frame[SPLIT] == name).sum()) for name in SPLITS} | {"training_rows_left_out": left_out}
