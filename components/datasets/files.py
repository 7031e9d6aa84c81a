"""Readers of users' files: CSV, JSONL, Parquet and folders of Parquet, at a path or fsspec URL."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import pandas as pd


class SourceError(ValueError):
    """A data source that cannot be used: where, what was found, and what would be right."""

    def __init__(self, where: str, found: str, remedy: str) -> None:
        super().__init__(f"{where}: {found}; {remedy}")
        self.where, self.found, self.remedy = where, found, remedy


def read_file(source: str) -> pd.DataFrame:
    """Return the rows of one file, values as they are. Raises SourceError when it cannot be read."""
    suffix = Path(source).suffix.lower()
    if suffix not in READERS:
        raise SourceError(
            f"source {source!r}",
            f"it ends in {suffix!r}",
            f"expected one of {sorted(READERS)}, a folder of .parquet files, icwsm2014:DOMAIN or hf:ID",
        )
    try:
        return READERS[suffix](source)
    except (OSError, ValueError, ImportError) as error:
        raise SourceError(
            f"source {source!r}", f"it cannot be read as {suffix[1:]}: {error}", "check the path and the format"
        ) from error


def read_folder(url: str) -> pd.DataFrame:
    """Return the rows of every Parquet file below a folder. Raises SourceError when there is none."""
    import fsspec

    try:
        filesystem, path = fsspec.core.url_to_fs(url)
        shards = sorted(filesystem.glob(f"{path.rstrip('/')}/**/*.parquet"))
        frames = [pd.read_parquet(shard, filesystem=filesystem) for shard in shards]
    except (OSError, ValueError, ImportError) as error:
        raise SourceError(
            f"source {url!r}", f"the folder cannot be listed and read: {error}", "check the path and your access"
        ) from error
    if not frames:
        raise SourceError(f"source {url!r}", "the folder holds no .parquet file", "expected at least one, at any depth")
    return pd.concat(frames, ignore_index=True)


def _read_csv(source: str) -> pd.DataFrame:
    # By default pandas reads texts such as "None" and "N/A" as absent.
    return pd.read_csv(source, keep_default_na=False, na_values=[""])


def _read_jsonl(source: str) -> pd.DataFrame:
    # With its default types pandas makes a text of null, and a number of "007".
    return pd.read_json(source, lines=True, dtype=False, convert_dates=False)


READERS: Final[dict[str, Callable[[str], pd.DataFrame]]] = {
    ".csv": _read_csv,
    ".parquet": pd.read_parquet,
    ".jsonl": _read_jsonl,
}
