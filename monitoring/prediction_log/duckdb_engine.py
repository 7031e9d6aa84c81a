"""Reads the log with DuckDB: only the members that a window needs, on every core, in a few hundred MiB."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from monitoring.prediction_log.engine import Labels, Selection, WindowRows
from monitoring.prediction_log.records import FIELDS, Key, Row, key_of
from monitoring.prediction_log.sample import Sample
from monitoring.prediction_log.segments import SegmentFiles

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_FIELDS: Final = ", ".join(f'"{name}"' for name in FIELDS)
_COLUMNS: Final = ", ".join(f"{name}: 'JSON'" for name in FIELDS)
_LINES: Final = """
WITH lines AS (
  SELECT * FROM read_json($files, format = 'newline_delimited', ignore_errors = true, hive_partitioning = false,
                          columns = {COLUMNS})
), records AS (
  SELECT *, request_id ->> '$' AS request, "timestamp" ->> '$' AS made_at,
    coalesce(starts_with(request_id, '"') AND starts_with("timestamp", '"') AND regexp_full_match(item, '[0-9]+'),
             false) AS valid
  FROM lines
), predictions AS (
  SELECT *, valid AND made_at >= $first AND made_at < $before
    AND ($version IS NULL OR (starts_with(model_version, '"') AND model_version ->> '$' = $version)) AS inside
  FROM records
), chosen AS (SELECT * FROM predictions WHERE inside)
""".replace("COLUMNS", _COLUMNS)
"""The lines with each member as JSON text, so that a value keeps its type. A damaged line has no value at all."""

_COUNT: Final = """
SELECT count(*) FILTER (WHERE NOT valid), count(*) FILTER (WHERE inside),
  list(DISTINCT coalesce(model_version, 'null')) FILTER (WHERE inside),
  arg_min({'request': request, 'item': item}, sha256(request || ':' || item), $most) FILTER (WHERE inside)
FROM predictions"""
_DAMAGED: Final = "SELECT count(*) FILTER (WHERE NOT valid) FROM predictions"
_OF_KEYS: Final = "FROM chosen JOIN keys ON request = key_request AND item = key_item"
_NEWEST: Final = "FROM chosen ORDER BY made_at DESC, request DESC, item::HUGEINT DESC LIMIT $most"
_BLOCK: Final = 5_000
"""Rows that are fetched from DuckDB at a time."""


class DuckDbEngine:
    """The engine for a log of any size that one machine can read in time: about 400,000 lines a second and core."""

    def __init__(self, *, threads: int | None = None, memory: str = "700MB") -> None:
        """`threads`: by default one for each core. `memory`: the most that DuckDB takes for its own buffers."""
        self._options = {"memory_limit": memory} | ({"threads": str(threads)} if threads else {})

    def window(self, files: SegmentFiles, selection: Selection, labels: Labels) -> WindowRows:
        """Return the sample and the labelled rows of a window."""
        sample = Sample(selection, labels)
        if files.paths:
            with _connection(files, self._options) as connection:
                query = _Query(connection, files, selection)
                first = query.count_into(sample)
                for row in query.of_keys(first.union(labels)):
                    if key_of(row) in first:
                        sample.choose(row)
                    sample.label(row)
        return sample.rows()

    def newest(self, files: SegmentFiles, selection: Selection, count: int) -> tuple[list[Row], int]:
        """Return the newest `count` rows of a selection, the newest first, and the number of damaged lines."""
        if not files.paths:
            return [], 0
        with _connection(files, self._options) as connection:
            query = _Query(connection, files, selection)
            damaged = query.execute(_DAMAGED)[0][0]
            return list(query.rows(_NEWEST, most=count)), damaged


class _Query:
    """The queries about one selection of some segments."""

    def __init__(self, connection: DuckDBPyConnection, files: SegmentFiles, selection: Selection) -> None:
        self._connection = connection
        self._size = selection.size
        self._values = {
            "files": [re.sub(r"[\[*?]", r"[\g<0>]", path) for path in _paths(files)],
            "first": selection.first,
            "before": selection.before,
            "version": selection.model_version,
        }

    def count_into(self, sample: Sample) -> set[Key]:
        """Count the lines in one pass; return the texts of the sample, and perhaps some after them in its order."""
        most = self._size + self._size // 4 + 1
        while True:
            damaged, total, versions, first = self.execute(_COUNT, most=most)[0]
            keys = {(key["request"], int(key["item"])) for key in first or ()} if self._size else set()
            if len(keys) >= self._size or most >= total:
                break
            most *= 2  # many lines are there more than once
        sample.count(total, map(json.loads, versions or ()), damaged)
        return keys

    def of_keys(self, keys: Collection[Key]) -> Iterator[Row]:
        """Yield every line of some texts."""
        if not keys:
            return
        import pyarrow as pa

        requests, items = zip(*keys, strict=True)
        table = pa.table({"key_request": requests, "key_item": [str(item) for item in items]})
        self._connection.register("keys", table)
        yield from self.rows(_OF_KEYS)

    def rows(self, query: str, **values: object) -> Iterator[Row]:
        """Yield the rows of a query; only some thousand of them are in memory as Python's objects at a time."""
        found = self._run(f"SELECT {_FIELDS} {query}", values)
        while block := found.fetchmany(_BLOCK):
            for row in block:
                # One call for each row takes a third of the time of one for each member.
                members = json.loads(f"[{','.join(text or 'null' for text in row)}]")
                yield dict(zip(FIELDS, members, strict=True))

    def execute(self, query: str, **values: object) -> list[tuple[Any, ...]]:
        return self._run(query, values).fetchall()

    def _run(self, query: str, values: Mapping[str, object]) -> DuckDBPyConnection:
        return self._connection.execute(_LINES + query, {**self._values, **values})


@contextmanager
def _connection(files: SegmentFiles, options: Mapping[str, str]) -> Iterator[DuckDBPyConnection]:
    import duckdb  # it takes a tenth of a second to import

    with tempfile.TemporaryDirectory() as scratch:
        fixed = {"temp_directory": scratch, "autoinstall_known_extensions": "false"}
        with duckdb.connect(config={**fixed, **options}) as connection:
            # DuckDB would keep the larger side of the join in memory: it cannot know how long the log is.
            connection.execute("SET disabled_optimizers = 'join_order,build_side_probe_side'")
            if not _is_local(files):
                connection.register_filesystem(files.filesystem)
            yield connection


def _is_local(files: SegmentFiles) -> bool:
    protocol = files.filesystem.protocol
    return "file" in ((protocol,) if isinstance(protocol, str) else protocol)


def _paths(files: SegmentFiles) -> Sequence[str]:
    return files.paths if _is_local(files) else files.urls()
