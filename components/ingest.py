"""Reviews from the default data set, or from any file, into one Parquet file with the contract's columns.

python -m components.ingest --output .local/data/reviews.parquet
python -m components.ingest --source icwsm2014:tweets --output tweets.parquet
python -m components.ingest --source s3://bucket/reviews.csv --rating-scale 1..5 --output reviews.parquet
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
import pandas as pd

from components import icwsm2014
from feature_checks.contract import (
    GROUP_ID,
    LABEL,
    RATING,
    RATINGS,
    ROW_ID,
    SOURCE,
    SPLIT,
    TEXT,
    Label,
    label_of_rating,
)

DEFAULT_SOURCE: Final = "icwsm2014:amazon"
COLUMNS: Final = (ROW_ID, TEXT, LABEL, GROUP_ID, SOURCE, SPLIT, RATING, RATINGS)
RatingScale = Literal["-4..4", "1..5"]
RATING_SCALES: Final = ("-4..4", "1..5")


class SourceError(ValueError):
    """A data source that cannot be read; the message says which, why and what would be right."""


@dataclass(frozen=True)
class IngestResult:
    """What was written: the row count and the digest of the rows (independent of file format)."""

    rows: int
    digest: str


def ingest(
    source: str, output: Path, *, cache: Path, extra_data: str = "", rating_scale: str = "-4..4"
) -> IngestResult:
    """Read `source` (and `extra_data`, if any) and write one Parquet file.

    A source is `icwsm2014:DOMAIN[,DOMAIN]` (the default data), a path or fsspec URL of a .csv, .jsonl or .parquet
    file with `text` and `label` (or `rating`), the same of a folder of .parquet files (ending in `/`), or `hf:ID` for a
    Hugging Face data set where a hub is reachable.
    Values are passed on as found; the checks judge them. Raises SourceError when the source cannot be read.
    """
    frames = [read_source(name, cache=cache, rating_scale=rating_scale) for name in (source, extra_data) if name]
    frame = pd.concat(frames, ignore_index=True) if len(frames) > 1 else frames[0]
    output.parent.mkdir(parents=True, exist_ok=True)
    frame.to_parquet(output, index=False)
    return IngestResult(len(frame), data_digest(frame))


def read_source(source: str, *, cache: Path, rating_scale: str = "-4..4") -> pd.DataFrame:
    """Return the rows of one source with the contract's columns, as far as the source allows."""
    if rating_scale not in RATING_SCALES:
        raise SourceError(f"rating_scale is {rating_scale!r}; expected one of {list(RATING_SCALES)}")
    scheme, _, rest = source.partition(":")
    if scheme == "icwsm2014":
        return icwsm2014.load(rest.split(","), cache)
    name = Path(source).stem
    if scheme == "hf":
        # The hub keeps a Parquet copy of every public data set under this revision.
        return _with_contract_columns(_read_folder(f"hf://datasets/{rest}@~parquet"), name, rating_scale)
    rows = _read_folder(source) if source.endswith("/") else _read_file(source)
    return _with_contract_columns(rows, name, rating_scale)


def data_digest(frame: pd.DataFrame) -> str:
    """Return the SHA-256 of the rows' ids, texts, labels and groups, in order."""
    names = [name for name in (ROW_ID, TEXT, LABEL, GROUP_ID) if name in frame.columns]
    content = frame[names].astype(str).to_csv(index=False)
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()


def _read_file(source: str) -> pd.DataFrame:
    readers: dict[str, Callable[[str], pd.DataFrame]] = {
        ".csv": _read_csv,
        ".parquet": pd.read_parquet,
        ".jsonl": _read_jsonl,
    }
    suffix = Path(source).suffix.lower()
    if suffix not in readers:
        raise SourceError(
            f"source {source!r} ends in {suffix!r}; expected one of {sorted(readers)}, a folder ending in '/', "
            "icwsm2014:DOMAIN or hf:ID"
        )
    try:
        frame = readers[suffix](source)
    except (OSError, ValueError, ImportError) as error:
        raise SourceError(f"source {source!r} cannot be read as {suffix[1:]}: {error}") from error
    return frame


def _read_csv(source: str) -> pd.DataFrame:
    # By default pandas reads texts such as "None" and "N/A" as absent.
    return pd.read_csv(source, keep_default_na=False, na_values=[""])


def _read_jsonl(source: str) -> pd.DataFrame:
    # Values as they stand: with dtypes of its own pandas makes a text of null, and a number of "007".
    return pd.read_json(source, lines=True, dtype=False, convert_dates=False)


def _read_folder(url: str) -> pd.DataFrame:
    """Return the rows of every Parquet file below a folder at a path or fsspec URL."""
    import fsspec

    try:
        filesystem, path = fsspec.core.url_to_fs(url)
        shards = sorted(filesystem.glob(f"{path}/**/*.parquet"))
        frames = [pd.read_parquet(shard, filesystem=filesystem) for shard in shards]
    except (OSError, ValueError, ImportError) as error:
        raise SourceError(f"source {url!r} cannot be listed and read: {error}") from error
    if not frames:
        raise SourceError(f"source {url!r} holds no .parquet file; expected at least one below it")
    return pd.concat(frames, ignore_index=True)


def _with_contract_columns(frame: pd.DataFrame, name: str, rating_scale: str) -> pd.DataFrame:
    rows = frame.reset_index(drop=True)
    if LABEL not in rows.columns and RATING in rows.columns:
        ratings = pd.to_numeric(rows[RATING], errors="coerce")
        rows[LABEL] = ratings.map(lambda rating: label_of(rating, rating_scale))
    if ROW_ID not in rows.columns:
        rows[ROW_ID] = [f"{name}:{number}" for number in rows.index]
    if GROUP_ID not in rows.columns:
        rows[GROUP_ID] = rows[ROW_ID]
    if SOURCE not in rows.columns:
        rows[SOURCE] = name
    present = rows[GROUP_ID].notna()
    rows[GROUP_ID] = rows[GROUP_ID].astype(object).where(~present, rows[GROUP_ID].astype(str))
    return rows[[column for column in COLUMNS if column in rows.columns]]


def label_of(rating: float, scale: str) -> Label | None:
    """Return the label of a mean rating (−4…4) or of stars (1…5: 3 is neutral); None outside the scale."""
    low, high = (float(bound) for bound in scale.split(".."))
    if np.isnan(rating) or not low <= rating <= high:
        return None
    if scale == "1..5":
        return "neutral" if rating == 3 else ("positive" if rating > 3 else "negative")
    return label_of_rating(rating)


def main() -> None:
    """Run the command line."""
    import typer
    from rich import print as show

    from components.state import state_dir

    app = typer.Typer(add_completion=False)

    @app.command(help=__doc__)
    def command(
        output: Path = typer.Option(..., help="Parquet file to write."),
        source: str = typer.Option(DEFAULT_SOURCE, help="icwsm2014:DOMAIN[,DOMAIN], a path, an fsspec URL, or hf:ID."),
        extra_data: str = typer.Option("", help="A second source, appended."),
        rating_scale: str = typer.Option("-4..4", help="Scale of a `rating` column: -4..4 or 1..5."),
    ) -> None:
        result = ingest(source, output, cache=state_dir() / "data", extra_data=extra_data, rating_scale=rating_scale)
        show(f"{output}: {result.rows} rows, digest {result.digest[:12]}")

    app()


if __name__ == "__main__":
    main()
