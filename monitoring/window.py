"""Windows of predictions: from the prediction log, from a file, or a champion's own validation split.

The same window read twice holds the same rows: samples are chosen by a hash of request and item (log) or by a fixed
seed (files), never by chance.
"""

from __future__ import annotations

import hashlib
import heapq
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal

import fsspec
import pandas as pd

from feature_checks.contract import LABEL, LABELS, SPLIT, TEXT
from feature_checks.prediction_record import FEEDBACK, HASH_PREFIX, PREDICTIONS, Descriptors, Kind, describe
from monitoring.detectors import CONFIDENCE, LENGTH, NON_LETTERS, TRUE_LABEL, WORDS

log = logging.getLogger(__name__)

SEED: Final = 0
COLUMNS: Final = (TEXT, LENGTH, WORDS, NON_LETTERS, LABEL, CONFIDENCE, TRUE_LABEL)
MAX_LABELLED: Final = 10_000
"""Most rows with a true label that are kept of one window."""

Row = dict[str, Any]
Key = tuple[str, int]
"""Request id and index of the text in the request."""


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
    reader = _LogReader(target)
    labels = reader.labels(start)
    rows = reader.predictions(start, end, model_version)
    sample = _Sample(max_rows, labels)
    for row in rows if last_rows is None else reader.newest(rows, last_rows):
        sample.add(row)
    span = f"{hours:g}h" if hours is not None else f"{last_rows}rows"
    version = f"-v{model_version}" if model_version else ""
    return Window(
        name=f"{end.astimezone(UTC):%Y%m%dT%H%M%SZ}-{span}{version}",
        frame=prepare(pd.DataFrame(sample.rows())),
        total_rows=sample.total,
        labelled=prepare(pd.DataFrame(list(sample.labelled.values())[-MAX_LABELLED:])),
        model_versions=tuple(sorted(sample.versions)),
        damaged_lines=reader.damaged_lines,
    )


def reference_of_champion(
    bundle: Path, data: Path, output: Path, split: Literal["validation", "test"] = "validation"
) -> int:
    """Score one split of a data set with a bundle and write it as a reference window; return its row count.

    Made once for a champion and stored with it.
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
    prepare(window).to_parquet(output, index=False)
    return len(window)


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


class _LogReader:
    """Streams the lines of a prediction log, day by day."""

    def __init__(self, target: str) -> None:
        self._filesystem, root = fsspec.url_to_fs(target)
        self._root = root.rstrip("/")
        self._filesystem.invalidate_cache()
        self.damaged_lines = 0

    def labels(self, start: datetime) -> dict[Key, str]:
        """Return the feedback from `start` on: the last label given for each request and item."""
        records = sorted(self._rows(FEEDBACK, start, None), key=lambda row: str(row["timestamp"]))
        return {(row["request_id"], row["item"]): row["label"] for row in records if row.get("label") in LABELS}

    def predictions(self, start: datetime, end: datetime, model_version: str | None) -> Iterator[Row]:
        """Yield the predictions with start <= timestamp < end."""
        # The log writes UTC times of one format, so they compare as text.
        first, last = (moment.astimezone(UTC).isoformat(timespec="milliseconds") for moment in (start, end))
        for row in self._rows(PREDICTIONS, start, end):
            if first <= row["timestamp"] < last and model_version in (None, row.get("model_version")):
                yield row

    @staticmethod
    def newest(rows: Iterator[Row], count: int) -> list[Row]:
        """Return the `count` newest rows."""
        return heapq.nlargest(count, rows, key=_by_time)

    def _rows(self, kind: Kind, start: datetime, end: datetime | None) -> Iterator[Row]:
        first = start.astimezone(UTC).strftime("date=%Y-%m-%d")
        last = end.astimezone(UTC).strftime("date=%Y-%m-%d") if end else "date=9999"
        for path in sorted(self._filesystem.glob(f"{self._root}/date=*/{kind}-*.jsonl")):
            if first <= path.rsplit("/", 2)[1] <= last:
                yield from self._lines(path)

    def _lines(self, path: str) -> Iterator[Row]:
        with self._filesystem.open(path, "rb") as lines:
            for line in lines:
                row = _parse(line)
                if row is None:
                    self.damaged_lines += 1
                    log.warning("%s: a line is no record of the log and was passed over", path)
                else:
                    yield row


def _parse(line: bytes) -> Row | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    identity = (row.get(name) for name in ("request_id", "item", "timestamp")) if isinstance(row, dict) else ()
    return row if [type(value) for value in identity] == [str, int, str] else None


class _Sample:
    """The rows whose hash is smallest: a sample that depends on the rows and not on their order."""

    def __init__(self, size: int, labels: dict[Key, str]) -> None:
        self._size = size
        self._labels = labels
        self._heap: list[tuple[int, Key, Row]] = []
        self._kept: set[Key] = set()
        self.labelled: dict[Key, Row] = {}
        self.versions: set[str] = set()
        self.total = 0

    def add(self, row: Row) -> None:
        """Consider one prediction; one that is in the log twice is sampled once."""
        key = (row["request_id"], row["item"])
        self.total += 1
        self.versions.add(str(row.get("model_version")))
        if (label := self._labels.get(key)) is not None:
            row = row | {TRUE_LABEL: label}
            self.labelled[key] = row
        digest = hashlib.blake2b(f"{key[0]}:{key[1]}".encode(), digest_size=8).digest()
        entry = (-int.from_bytes(digest), key, row)
        if key in self._kept or (len(self._heap) == self._size and entry[0] < self._heap[0][0]):
            return
        self._kept.add(key)
        heapq.heappush(self._heap, entry)
        if len(self._heap) > self._size:
            self._kept.discard(heapq.heappop(self._heap)[1])

    def rows(self) -> list[Row]:
        """Return the sample in order of time."""
        return sorted((row for *_, row in self._heap), key=_by_time)


def _by_time(row: Row) -> tuple[str, str, int]:
    return row["timestamp"], row["request_id"], row["item"]
