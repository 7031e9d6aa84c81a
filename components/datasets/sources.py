"""Every kind of data source, read into one table with the contract's columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pandas as pd

from components.datasets import icwsm2014
from components.datasets.columns import USUAL_NAMES, SourceOptions, chosen_columns, contract_columns
from components.datasets.files import SourceError, read_file, read_folder
from feature_checks.contract import GROUP_ID, LABEL, SPLIT, TEXT, normalise
from feature_checks.splits import assign_splits

_DEFAULT_DATA: Final = "icwsm2014:"
DEFAULT_SOURCE: Final = f"{_DEFAULT_DATA}amazon"
NEUTRAL: Final = ("required", "from_default", "none")


@dataclass(frozen=True)
class SourceRows:
    """The rows of a data set, and what was changed on the way."""

    frame: pd.DataFrame
    changes: Mapping[str, int] = field(default_factory=dict)
    """Row counts: `duplicates_folded`, `neutral_left_out` and `neutral_added`; a count of 0 is left out."""


def read_sources(source: str, *, cache: Path, extra_data: str = "", options: SourceOptions | None = None) -> SourceRows:
    """Read `source` and, if named, `extra_data` into one table.

    The options hold for `source`; of them, `extra_data` follows only `rating_scale`, and its columns are found by
    their usual names. Raises SourceError or DownloadError when a source cannot be read.

    Example: `read_sources("reviews.csv", cache=Path(".local/data")).frame`.
    """
    options = options or SourceOptions()
    if options.neutral not in NEUTRAL:
        raise SourceError("neutral", f"it is {options.neutral!r}", f"expected one of {list(NEUTRAL)}")
    readings = [_read_source(source, cache, options)]
    if extra_data:
        readings.append(_read_source(extra_data, cache, SourceOptions(rating_scale=options.rating_scale)))
    frames = [reading.frame for reading in readings]
    frame = pd.concat(frames, ignore_index=True) if len(frames) > 1 else frames[0]
    folded = sum(reading.changes.get("duplicates_folded", 0) for reading in readings)
    return _with_neutral(SourceRows(frame, {"duplicates_folded": folded} if folded else {}), cache, options.neutral)


def read_texts(source: str, *, cache: Path) -> pd.DataFrame:
    """Read the texts of a source whose labels are not needed, with their groups and, if it names them, splits.

    The column of the texts has one of its usual names. Raises SourceError if there is none, and what `read_sources`
    raises.

    Example: `read_texts("all-reviews.parquet", cache=Path(".local/data"))`.
    """
    if source.startswith(_DEFAULT_DATA):
        return _default_rows(source, cache)
    rows = _table(source)
    used = chosen_columns(list(rows.columns), SourceOptions())
    if TEXT not in used:
        expected = f"expected {TEXT!r} or one of {list(USUAL_NAMES[TEXT])}"
        raise SourceError(f"source {source!r}", f"it has the columns {list(rows.columns)} and no texts", expected)
    kept = [*(used[role] for role in (TEXT, GROUP_ID) if role in used), *({SPLIT} & set(rows.columns))]
    return contract_columns(rows[kept], Path(source).stem, SourceOptions())


def _read_source(source: str, cache: Path, options: SourceOptions) -> SourceRows:
    if source.startswith(_DEFAULT_DATA):
        return SourceRows(_default_rows(source, cache))
    return fold_duplicates(contract_columns(_table(source), Path(source).stem, options))


def _default_rows(source: str, cache: Path) -> pd.DataFrame:
    return icwsm2014.load(source.removeprefix(_DEFAULT_DATA).split(","), cache)


def _table(source: str) -> pd.DataFrame:
    """Return the rows of a source that is not the default data, values as they are."""
    if source.startswith("hf:"):
        # The hub keeps a Parquet copy of every public data set under this revision.
        return read_folder(f"hf://datasets/{source.removeprefix('hf:')}@~parquet")
    return read_folder(source) if source.endswith("/") or Path(source).is_dir() else read_file(source)


def fold_duplicates(frame: pd.DataFrame) -> SourceRows:
    """Keep one row of those with the same normalised text and the same label; count the others.

    Of copies in several splits the test copy is kept, then the validation copy: nothing is trained on what is judged.
    """
    if TEXT not in frame.columns or LABEL not in frame.columns:
        return SourceRows(frame)
    texts = frame[TEXT].map(lambda text: normalise(text) if isinstance(text, str) else "")
    comparable = (texts != "") & frame[LABEL].notna()
    rank = assign_splits(frame)[SPLIT].map({"test": 0, "validation": 1}).fillna(2)
    keys = pd.DataFrame({"text": texts, "label": frame[LABEL].astype(str), "rank": rank})[comparable]
    copies = keys.sort_values("rank", kind="stable").duplicated(["text", "label"])
    dropped = copies.index[copies]
    if dropped.empty:
        return SourceRows(frame)
    return SourceRows(frame.drop(index=dropped).reset_index(drop=True), {"duplicates_folded": len(dropped)})


def _with_neutral(rows: SourceRows, cache: Path, neutral: str) -> SourceRows:
    if LABEL not in rows.frame.columns or neutral == "required":
        return rows
    is_neutral = rows.frame[LABEL] == "neutral"
    if neutral == "none":
        left_out = int(is_neutral.sum())
        kept = rows.frame[~is_neutral].reset_index(drop=True)
        return SourceRows(kept, dict(rows.changes) | ({"neutral_left_out": left_out} if left_out else {}))
    if is_neutral.any():
        return rows
    default = icwsm2014.load(["amazon"], cache)
    added = default[default[LABEL] == "neutral"]
    frame = pd.concat([rows.frame, added], ignore_index=True)
    return SourceRows(frame, dict(rows.changes) | {"neutral_added": len(added)})
