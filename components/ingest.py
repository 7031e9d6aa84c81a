"""Reviews from the default data set, or from any file, into one Parquet file with the contract's columns.

python -m components.ingest --output .local/data/reviews.parquet
python -m components.ingest --source icwsm2014:tweets --output tweets.parquet
python -m components.ingest --source s3://bucket/reviews.csv --text-column comment --output reviews.parquet
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from components.datasets.columns import SourceOptions
from components.datasets.sources import DEFAULT_SOURCE, read_sources
from components.registry.lineage import data_digest

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class IngestResult:
    """What was written."""

    rows: int
    digest: str
    """SHA-256 of the rows, whatever the file format of the source."""
    changes: Mapping[str, int] = field(default_factory=dict)
    """Rows folded, left out or added; see `components.datasets.sources.SourceRows`."""

    def metadata(self) -> dict[str, str | int]:
        """Return the result as the metadata of a pipeline artifact."""
        return {"rows": self.rows, "digest": self.digest, **self.changes}


def ingest(
    source: str, output: Path, *, cache: Path, extra_data: str = "", options: SourceOptions | None = None
) -> IngestResult:
    """Read `source` (and `extra_data`, if any) and write one Parquet file.

    A source is `icwsm2014:DOMAIN[,DOMAIN]` (the default data), a path or fsspec URL of a .csv, .jsonl or .parquet
    file or of a folder of .parquet files (a URL ends in `/`), or `hf:ID` for a Hugging Face data set where a hub is
    reachable. The data check judges the values. Raises SourceError or DownloadError when a source cannot be read.

    Example: `ingest("reviews.csv", Path("reviews.parquet"), cache=Path(".local/data"))`.
    """
    reading = read_sources(source, cache=cache, extra_data=extra_data, options=options)
    for name, count in reading.changes.items():
        logger.info("%s: %d rows", name.replace("_", " "), count)
    output.parent.mkdir(parents=True, exist_ok=True)
    reading.frame.to_parquet(output, index=False)
    return IngestResult(len(reading.frame), data_digest(reading.frame), reading.changes)


def main() -> None:
    """Run the command line."""
    import typer
    from rich import print as show

    from feature_checks.state import state_dir

    app = typer.Typer(add_completion=False)

    @app.command(help=__doc__)
    def command(
        output: Path = typer.Option(..., help="Parquet file to write."),
        source: str = typer.Option(DEFAULT_SOURCE, help="icwsm2014:DOMAIN[,DOMAIN], a path, an fsspec URL, or hf:ID."),
        extra_data: str = typer.Option("", help="A second source, whose rows are appended."),
        text_column: str = typer.Option("", help="Column of the texts; default: found by its name."),
        label_column: str = typer.Option("", help="Column of the labels; default: found by its name."),
        rating_column: str = typer.Option("", help="Column of ratings, instead of labels."),
        group_column: str = typer.Option("", help="Column of review ids; rows of one review stay in one split."),
        rating_scale: str = typer.Option("auto", help="Scale of ratings: -4..4, 1..5 or auto."),
        neutral: str = typer.Option("required", help="Without neutral rows: required, from_default or none."),
    ) -> None:
        options = SourceOptions(text_column, label_column, rating_column, group_column, rating_scale, neutral)
        result = ingest(source, output, cache=state_dir() / "data", extra_data=extra_data, options=options)
        changes = "".join(f", {name.replace('_', ' ')}: {count}" for name, count in result.changes.items())
        show(f"{output}: {result.rows} rows{changes}, digest {result.digest[:12]}")

    app()


if __name__ == "__main__":
    main()
