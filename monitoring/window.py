"""Windows of predictions: from the prediction log, from a file, or a champion's own validation split.

The same window read twice holds the same rows: samples are chosen by a hash of request and item (log) or by a fixed
seed (files), never by chance.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal

import fsspec
import pandas as pd

from feature_checks.contract import FEEDBACK_SOURCE, GROUP_ID, LABEL, LABELS, ROW_ID, SOURCE, SPLIT, TEXT
from feature_checks.prediction_record import HASH_PREFIX, Descriptors, describe
from monitoring.detectors import CONFIDENCE, LENGTH, NON_LETTERS, TRUE_LABEL, WORDS
from monitoring.log_reader import LogReader, Row, Sample

SEED: Final = 0
COLUMNS: Final = (TEXT, LENGTH, WORDS, NON_LETTERS, LABEL, CONFIDENCE, TRUE_LABEL)
MAX_LABELLED: Final = 10_000
"""Most rows with a true label that are kept of one window."""


class WindowError(ValueError):
    """A window that cannot be read: which file or column, what was found, what would be right."""


@dataclass(frozen=True)
class Window:
    """A sample of predictions, the labelled ones among them, and how many rows there were to sample from."""

    name: str
    """Equal for equal windows: reports and decisions are kept under it."""
    frame: pd.DataFrame
    """At most as many rows as asked for, with those of COLUMNS that are known."""
    total_rows: int
    labelled: pd.DataFrame = field(default_factory=pd.DataFrame)
    """Rows with a true label (`true_label`), with their texts where the log keeps them."""
    model_versions: tuple[str, ...] = ()
    damaged_lines: int = 0
    """Lines that were no JSON object, as a killed process leaves one at most."""


def from_file(path: str, max_rows: int) -> Window:
    """Read a JSONL or Parquet file (path or fsspec URL) with `text` and whatever else of COLUMNS it has.

    Raises WindowError when it cannot be read as that.
    """
    frame = read_table(path)
    content = pd.util.hash_pandas_object(frame.astype(str), index=False).to_numpy().tobytes()
    sample = frame if len(frame) <= max_rows else frame.sample(max_rows, random_state=SEED).sort_index()
    labelled = frame[frame[TRUE_LABEL].notna()][:MAX_LABELLED] if TRUE_LABEL in frame.columns else pd.DataFrame()
    return Window(
        name=f"{Path(path).stem}-{hashlib.sha256(content).hexdigest()[:12]}",
        frame=prepare(sample),
        total_rows=len(frame),
        labelled=prepare(labelled),
    )


def from_log(
    target: str,
    *,
    max_rows: int,
    end: datetime,
    hours: float | None = None,
    last_rows: int | None = None,
    model_version: str | None = None,
) -> Window:
    """Read the predictions before `end`: those of the last `hours`, or the last `last_rows` of them.

    The log is streamed; only the sample and the labelled rows are held.
    """
    if (hours is None) == (last_rows is None):
        raise WindowError(f"found hours={hours}, last_rows={last_rows}; expected exactly one of them")
    start = end - timedelta(hours=hours) if hours is not None else datetime(1970, 1, 1, tzinfo=UTC)
    reader = LogReader(target)
    labels = reader.labels(start)
    rows = reader.predictions(start, end, model_version)
    sample = Sample(max_rows, labels)
    for row in rows if last_rows is None else reader.newest(rows, last_rows):
        sample.add(row)
    span = f"{hours:g}h" if hours is not None else f"{last_rows}rows"
    version = f"-v{model_version}" if model_version else ""
    return Window(
        name=f"{end.astimezone(UTC):%Y%m%dT%H%M%SZ}-{span}{version}",
        frame=prepare(pd.DataFrame(sample.rows())),
        total_rows=sample.total,
        labelled=_with_ids(list(sample.labelled.values())[-MAX_LABELLED:]),
        model_versions=tuple(sorted(sample.versions)),
        damaged_lines=reader.damaged_lines,
    )


def reference_of_champion(
    bundle: Path, data: Path, output: Path, split: Literal["validation", "test"] = "validation"
) -> int:
    """Score one split of a data set with a bundle and write it as a reference window; return its row count.

    Made once for a champion and stored with it. `group_id` is kept, so that calibration can cut it by review.
    """
    from feature_checks import bundle as bundles
    from feature_checks.classifier import OnnxClassifier

    frame = pd.read_parquet(data)
    rows = frame[frame[SPLIT] == split]
    probabilities = OnnxClassifier(bundles.load(bundle)).probabilities(rows[TEXT].tolist())
    window = pd.DataFrame(
        {
            TEXT: rows[TEXT].tolist(),
            LABEL: [LABELS[index] for index in probabilities.argmax(axis=1)],
            CONFIDENCE: probabilities.max(axis=1).astype(float),
            TRUE_LABEL: rows[LABEL].tolist(),
        }
    )
    output.parent.mkdir(parents=True, exist_ok=True)
    prepare(window).assign(**{GROUP_ID: rows[GROUP_ID].astype(str).tolist()}).to_parquet(output, index=False)
    return len(window)


def write_labelled(window: Window, output: str) -> int:
    """Write a window's labelled rows as training data (Parquet, path or fsspec URL); return their count.

    Every row is named a training row, so feedback never enters validation or test. Rows without a kept text are not
    written: there is nothing to train on.
    """
    rows = window.labelled
    if TEXT not in rows.columns or ROW_ID not in rows.columns:
        rows = pd.DataFrame(columns=[TEXT, TRUE_LABEL, GROUP_ID, ROW_ID])
    kept = rows[rows[TEXT].map(lambda text: isinstance(text, str) and not text.startswith(HASH_PREFIX)).astype(bool)]
    data = kept[[TEXT, TRUE_LABEL, GROUP_ID, ROW_ID]].rename(columns={TRUE_LABEL: LABEL})
    data = data.assign(**{SOURCE: FEEDBACK_SOURCE, SPLIT: "train"})
    with fsspec.open(output, "wb", auto_mkdir=True) as file:
        data.to_parquet(file, index=False)
    return len(data)


def _with_ids(rows: list[Row]) -> pd.DataFrame:
    requests = [f"{FEEDBACK_SOURCE}:{row['request_id']}" for row in rows]
    ids = [f"{request}:{row['item']}" for request, row in zip(requests, rows, strict=True)]
    return prepare(pd.DataFrame(rows)).assign(**{GROUP_ID: requests, ROW_ID: ids})


def prepare(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the known columns, descriptors filled in from the text where they are missing.

    Hashed or dropped texts leave no `text` column. Values are otherwise passed on as found: the check judges them.
    """
    rows = frame[[name for name in COLUMNS if name in frame.columns]].reset_index(drop=True)
    if TEXT in rows.columns and _is_without_text(rows[TEXT]):
        rows = rows.drop(columns=TEXT)
    if TEXT in rows.columns and not {LENGTH, WORDS, NON_LETTERS} <= set(rows.columns):
        described = [describe(text if isinstance(text, str) else "") for text in rows[TEXT]]
        rows[list(Descriptors._fields)] = pd.DataFrame(described, columns=list(Descriptors._fields))
    return rows


def _is_without_text(texts: pd.Series[Any]) -> bool:
    absent = texts.isna() | texts.astype(str).str.startswith(HASH_PREFIX)
    return bool(len(texts) and absent.all())


def read_table(path: str) -> pd.DataFrame:
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
        raise ValueError(f"found a line {str(wrong)[:80]!r}; expected one JSON object a line")
    return pd.DataFrame(rows)
