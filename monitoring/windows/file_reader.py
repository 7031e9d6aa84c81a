"""Windows from JSONL and Parquet files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Final

import fsspec
import pandas as pd

from feature_checks.contract import GROUP_ID, SOURCE
from feature_checks.prediction_record import TRUE_LABEL
from monitoring.windows.window import MAX_LABELLED, Window, WindowError, known_columns

SEED: Final = 0


def from_file(path: str, max_rows: int) -> Window:
    """Read a window from a JSONL or Parquet file (path or fsspec URL) with `text` and any other known columns.

    `group_id` and `source` are kept too, where the file has them.
    A file with more than `max_rows` rows is sampled with a fixed seed, so reading it twice gives the same window.
    Raises WindowError if the file cannot be read.

    Example: `from_file("reviews.parquet", max_rows=500)`.
    """
    frame = read_table(path)
    content = pd.util.hash_pandas_object(frame.astype(str), index=False).to_numpy().tobytes()
    sample = frame if len(frame) <= max_rows else frame.sample(max_rows, random_state=SEED).sort_index()
    labelled = frame[frame[TRUE_LABEL].notna()][:MAX_LABELLED] if TRUE_LABEL in frame.columns else pd.DataFrame()
    kept = [name for name in (GROUP_ID, SOURCE) if name in sample.columns]
    columns = known_columns(sample).assign(**{name: sample[name].astype(str).to_numpy() for name in kept})
    return Window(
        name=f"{Path(path).stem}-{hashlib.sha256(content).hexdigest()[:12]}",
        frame=columns,
        random_part=columns,
        total_rows=len(frame),
        labelled=known_columns(labelled),
    )


def read_table(path: str) -> pd.DataFrame:
    """Read a JSONL or Parquet file. Raises WindowError if it is neither or cannot be read."""
    readers: dict[str, Callable[[str], pd.DataFrame]] = {".jsonl": _read_jsonl, ".parquet": pd.read_parquet}
    suffix = Path(path).suffix.lower()
    if suffix not in readers:
        raise WindowError(f"{path}: found the suffix {suffix!r}; expected one of {sorted(readers)}")
    try:
        return readers[suffix](path)
    except (OSError, ValueError) as error:
        raise WindowError(f"{path}: not readable as {suffix[1:]}: {error}") from error


def _read_jsonl(path: str) -> pd.DataFrame:
    with fsspec.open(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines if line.strip()]
    wrong = next((row for row in rows if not isinstance(row, dict)), None)
    if wrong is not None:
        raise ValueError(f"found the line {str(wrong)[:80]!r}; expected one JSON object per line")
    return pd.DataFrame(rows)
