"""A Parquet data set in parts of some thousand rows: what is read, scored and written as a whole, and once.

SOURCE             one Parquet file, or a folder of them (path or fsspec URL)
TARGET/_run.json   what is scored with what, so that another run is not mixed in
TARGET/part-00017.parquet   the results of one part; it appears when it is complete
"""

from __future__ import annotations

import json
import re
import tempfile
import uuid
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import fsspec

from serving.bulk.files import FileError, result_schema

RUN: Final = "_run.json"
REPORT_KEY: Final = b"review_sentiment"
CHUNK: Final = 1_000
"""The rows that are read and scored at a time: what a worker holds in memory."""
_PART: Final = re.compile(r"part-(\d+)\.parquet")


@dataclass(frozen=True)
class Part:
    """Some successive rows of one file."""

    number: int
    path: str
    """Path of the file on the file system of the source."""
    start: int
    """The first row, counted in the file."""
    rows: int
    first: int
    """The first row, counted over all files."""


@dataclass(frozen=True)
class Plan:
    """The parts of a source. The same files always give the same plan, on however many machines it is carried out."""

    source: str
    column: str
    part_rows: int
    parts: tuple[Part, ...]
    files: tuple[dict[str, Any], ...]
    """Name, size, rows and time or checksum of each file, to tell whether they are still the same."""


def plan(source: str, column: str, part_rows: int) -> Plan:
    """Return the parts of a source, of at most `part_rows` rows each. Only the footers of its files are read.

    Raises FileError if there is no Parquet file or one lacks the column.
    """
    filesystem, root = fsspec.url_to_fs(source)
    parts: list[Part] = []
    files: list[dict[str, Any]] = []
    first = 0
    for path in _parquet_files(filesystem, root, source):
        with filesystem.open(path, "rb") as file:
            rows = _rows(file, path, column)
        for start in range(0, rows, part_rows):
            parts.append(Part(len(parts), path, start, min(part_rows, rows - start), first + start))
        files.append(_identity(filesystem.info(path)) | {"rows": rows})
        first += rows
    return Plan(source, column, part_rows, tuple(parts), tuple(files))


def read_part(source: str, column: str, part: Part) -> Generator[list[Any], None, None]:
    """Yield the texts of a part, at most CHUNK at a time."""
    from pyarrow import parquet

    filesystem, _ = fsspec.url_to_fs(source)
    with filesystem.open(part.path, "rb") as raw, parquet.ParquetFile(raw) as file:
        groups, skipped = _groups(file.metadata, part)
        left = part.rows
        for batch in file.iter_batches(CHUNK, row_groups=groups, columns=[column]):
            texts = batch.column(0)[skipped : skipped + left].to_pylist()
            skipped = max(0, skipped - batch.num_rows)
            left -= len(texts)
            if texts:
                yield texts
            if not left:
                return


def write_part(
    target: str,
    number: int,
    chunks: Iterable[list[dict[str, Any]]],
    report: dict[str, Any],
    more: Sequence[str] = (),
) -> None:
    """Write the results of a part, with `more` columns of text.

    `report`, filled in while the chunks are made, is kept in the file's footer.
    """
    import pyarrow as pa
    from pyarrow import parquet

    schema = result_schema(more)
    with tempfile.TemporaryDirectory() as scratch:
        local = Path(scratch) / "part.parquet"
        with parquet.ParquetWriter(local, schema) as writer:
            for rows in chunks:
                writer.write_table(pa.Table.from_pylist(rows, schema))
            writer.add_key_value_metadata({REPORT_KEY: json.dumps(report).encode()})
        _publish(target, f"part-{number:05d}.parquet", local)


def start(target: str, origin: dict[str, Any]) -> None:
    """Begin a run, or go on with it. Raises FileError if the target holds the results of another run."""
    filesystem, root = fsspec.url_to_fs(target)
    path = f"{root}/{RUN}"
    if filesystem.exists(path):
        found = json.loads(filesystem.cat_file(path))
        if found != json.loads(json.dumps(origin)):
            differing = sorted(name for name in origin if found.get(name) != json.loads(json.dumps(origin[name])))
            raise FileError(
                f"{target}: found the results of another run (other {', '.join(differing)}; see {RUN}); "
                "delete the folder or name another target"
            )
        return
    filesystem.makedirs(root, exist_ok=True)
    if filesystem.ls(root, detail=False):
        raise FileError(f"{target}: the folder has files of another origin; expected an empty or a new folder")
    filesystem.pipe_file(path, json.dumps(origin, indent=1).encode())


def finished(target: str) -> set[int]:
    """Return the numbers of the parts that have been written."""
    filesystem, root = fsspec.url_to_fs(target)
    filesystem.invalidate_cache()
    names = (_PART.fullmatch(path.rsplit("/", 1)[-1]) for path in filesystem.ls(root, detail=False))
    return {int(match[1]) for match in names if match}


def reports(target: str) -> list[dict[str, Any]]:
    """Return the report of every written part, from the footers of their files."""
    from pyarrow import parquet

    filesystem, root = fsspec.url_to_fs(target)
    found = []
    for number in sorted(finished(target)):
        with filesystem.open(f"{root}/part-{number:05d}.parquet", "rb") as file:
            found.append(json.loads(parquet.read_metadata(file).metadata[REPORT_KEY]))
    return found


def described(parts: Plan) -> dict[str, Any]:
    """Return what identifies a plan: its column, the size of its parts, and the files."""
    named = {"source": parts.source, "column": parts.column, "part_rows": parts.part_rows}
    return named | {"files": list(parts.files)}


def _publish(target: str, name: str, local: Path) -> None:
    """Make a local file appear in the target, whole or not at all."""
    filesystem, root = fsspec.url_to_fs(target)
    if "file" not in (filesystem.protocol if isinstance(filesystem.protocol, tuple) else (filesystem.protocol,)):
        filesystem.put_file(str(local), f"{root}/{name}")  # an object appears when it is complete
        return
    unfinished = Path(root) / f".{name}.{uuid.uuid4().hex}"
    try:
        unfinished.write_bytes(local.read_bytes())
        unfinished.replace(Path(root) / name)
    finally:
        unfinished.unlink(missing_ok=True)


def _parquet_files(filesystem: Any, root: str, source: str) -> list[str]:
    if filesystem.isfile(root):
        return [root]
    paths = sorted(filesystem.find(root)) if filesystem.isdir(root) else []
    visible = [path for path in paths if not path.rsplit("/", 1)[-1].startswith(("_", "."))]
    found = [path for path in visible if path.endswith(".parquet")]
    if not found:
        raise FileError(f"{source}: found no .parquet file; expected a Parquet file or a folder of them")
    return found


def _rows(file: Any, path: str, column: str) -> int:
    from pyarrow import ArrowInvalid, parquet

    try:
        with parquet.ParquetFile(file) as content:
            names, rows = content.schema_arrow.names, content.metadata.num_rows
    except ArrowInvalid as error:
        raise FileError(f"{path}: not readable as Parquet ({error})") from error
    if column not in names:
        raise FileError(f"{path}: the columns are {names}; expected {column!r}, or name it with --text-column")
    return int(rows)


def _identity(info: dict[str, Any]) -> dict[str, Any]:
    stamp = info.get("ETag") or info.get("mtime") or info.get("last_modified") or info.get("created")
    return {"name": info["name"], "size": info["size"], "stamp": str(stamp)}


def _groups(metadata: Any, part: Part) -> tuple[list[int], int]:
    """Return the row groups that a part lies in, and the rows before it in the first of them."""
    groups: list[int] = []
    skipped = row = 0
    for group in range(metadata.num_row_groups):
        rows = metadata.row_group(group).num_rows
        if row < part.start + part.rows and row + rows > part.start:
            if not groups:
                skipped = part.start - row
            groups.append(group)
        row += rows
    return groups, skipped
