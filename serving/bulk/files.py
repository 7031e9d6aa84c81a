"""Reads texts from CSV, JSONL or Parquet files, and writes results to them, one row at a time."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import orjson

from feature_checks.contract import LABELS

RESULT_COLUMNS: Final = ("row", "text", "label", "confidence", *LABELS, "truncated", "model_version", "error")
"""`row` counts the input's rows from 0; `error` says why a row has no label."""

_PARQUET_ROWS: Final = 2_000


class FileError(ValueError):
    """An input or output cannot be used; the message names the file, what was found and what would be right."""


def read_texts(path: Path, column: str) -> Iterator[Any]:
    """Yield the values of one column, row by row, without holding the file in memory.

    Raises FileError for an unknown format, a missing column or a malformed line.
    """
    read: Callable[[Path, str], Iterator[Any]] = _format_of(path, _READERS)
    return read(path, column)


def check_output(path: Path) -> None:
    """Raise FileError unless results can be written in the format of the path's suffix."""
    _format_of(path, _WRITERS)


def write_results(path: Path, rows: Iterator[dict[str, Any]], more: Sequence[str] = ()) -> None:
    """Write the results in the format of the path's suffix, with `more` columns of text. The file appears complete."""
    unfinished = path.with_name(f"{path.name}.unfinished")
    _format_of(path, _WRITERS)(unfinished, rows, more)
    unfinished.replace(path)


def _format_of(path: Path, formats: dict[str, Any]) -> Any:
    found = formats.get(path.suffix.lower())
    if found is None:
        raise FileError(f"{path}: the suffix is {path.suffix!r}; expected one of {', '.join(formats)}")
    return found


def _read_csv(path: Path, column: str) -> Iterator[Any]:
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        reader = csv.DictReader(file)
        _check_column(path, column, reader.fieldnames or ())
        for row in reader:
            yield row[column]


def _read_jsonl(path: Path, column: str) -> Iterator[Any]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.isspace():
                continue
            try:
                row = orjson.loads(line)
            except orjson.JSONDecodeError as error:
                raise FileError(f"{path}, line {number}: not valid JSON ({error})") from error
            if not isinstance(row, dict) or column not in row:
                raise FileError(f"{path}, line {number}: expected a JSON object with the member {column!r}")
            yield row[column]


def _read_parquet(path: Path, column: str) -> Iterator[Any]:
    parquet = _parquet()
    with parquet.ParquetFile(path) as file:
        _check_column(path, column, file.schema_arrow.names)
        for batch in file.iter_batches(_PARQUET_ROWS, columns=[column]):
            yield from batch.column(0).to_pylist()


def _check_column(path: Path, column: str, found: Any) -> None:
    if column not in found:
        raise FileError(f"{path}: the columns are {list(found)}; expected {column!r}, or name it with --text-column")


def _write_csv(path: Path, rows: Iterator[dict[str, Any]], more: Sequence[str]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, (*RESULT_COLUMNS, *more))
        writer.writeheader()
        writer.writerows(rows)


def _write_jsonl(path: Path, rows: Iterator[dict[str, Any]], more: Sequence[str]) -> None:  # noqa: ARG001
    with path.open("wb") as file:
        file.writelines(orjson.dumps(row) + b"\n" for row in rows)


def _write_parquet(path: Path, rows: Iterator[dict[str, Any]], more: Sequence[str]) -> None:
    import pyarrow as pa

    schema = result_schema(more)
    with _parquet().ParquetWriter(path, schema) as writer:
        chunk: list[dict[str, Any]] = []
        for row in rows:
            chunk.append(row)
            if len(chunk) == _PARQUET_ROWS:
                writer.write_table(pa.Table.from_pylist(chunk, schema))
                chunk = []
        writer.write_table(pa.Table.from_pylist(chunk, schema))


def result_schema(more: Sequence[str] = ()) -> Any:
    """Return the pyarrow schema of results in Parquet, with `more` columns of text."""
    import pyarrow as pa

    numbers = {name: pa.float32() for name in ("confidence", *LABELS)}
    types = {"row": pa.int64(), "truncated": pa.bool_(), **numbers}
    return pa.schema([(name, types.get(name, pa.string())) for name in (*RESULT_COLUMNS, *more)])


def _parquet() -> Any:
    try:
        from pyarrow import parquet
    except ModuleNotFoundError as error:
        raise FileError("Parquet needs the package pyarrow: install it, or use .csv or .jsonl") from error
    return parquet


_READERS: Final[dict[str, Callable[[Path, str], Iterator[Any]]]] = {
    ".csv": _read_csv,
    ".jsonl": _read_jsonl,
    ".parquet": _read_parquet,
}
_WRITERS: Final[dict[str, Callable[[Path, Iterator[dict[str, Any]], Sequence[str]], None]]] = {
    ".csv": _write_csv,
    ".jsonl": _write_jsonl,
    ".parquet": _write_parquet,
}


@dataclass(frozen=True)
class Progress:
    """The file of the results so far, beside the output: one JSON object a line; the first describes the run.

    Lines are only appended, and a line that a crash cut off is dropped, so the file is valid at every moment.
    """

    path: Path
    done: int
    """The number of rows that have a result."""

    @classmethod
    def resume(cls, path: Path, origin: dict[str, Any]) -> Progress:
        """Return the progress at `path`; start it if there is none. Raises FileError if it is that of another run."""
        if not path.exists():
            path.write_bytes(orjson.dumps(origin) + b"\n")
        with path.open("rb+") as file:
            found = orjson.loads(file.readline())
            if found != origin:
                raise FileError(f"{path}: found the results of {found}; expected {origin}: delete it to start again")
            return cls(path, _drop_cut_line(file))

    def append(self, rows: list[dict[str, Any]]) -> None:
        """Append results and flush them to the disk."""
        with self.path.open("ab") as file:
            file.writelines(orjson.dumps(row) + b"\n" for row in rows)
            file.flush()
            os.fsync(file.fileno())

    def results(self) -> Iterator[dict[str, Any]]:
        """Yield every result in the input's order."""
        with self.path.open("rb") as file:
            next(file)
            for line in file:
                yield orjson.loads(line)


def _drop_cut_line(file: BinaryIO) -> int:
    """Cut the file after its last whole line; return the lines from here to there."""
    count, end = 0, file.tell()
    for line in file:
        if not line.endswith(b"\n"):
            break
        count, end = count + 1, end + len(line)
    file.truncate(end)
    return count
