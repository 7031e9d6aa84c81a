"""The engines by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from monitoring.prediction_log.engine import LogEngine


def engine_named(name: str) -> LogEngine:
    """Return an engine. Raises ValueError for an unknown name; an engine's library is imported when it is made.

    Example: `from_log(log, max_rows=500, end=end, hours=24, engine=engine_named("spark"))`.
    """
    if name not in _ENGINES:
        raise ValueError(f"engine: found {name!r}; expected one of {', '.join(_ENGINES)}")
    return _ENGINES[name]()


def _duckdb() -> LogEngine:
    from monitoring.prediction_log.duckdb_engine import DuckDbEngine

    return DuckDbEngine()


def _lines() -> LogEngine:
    from monitoring.prediction_log.lines_engine import LinesEngine

    return LinesEngine()


def _spark() -> LogEngine:
    from monitoring.prediction_log.spark_engine import SparkEngine

    return SparkEngine()


_ENGINES: Final[Mapping[str, Callable[[], LogEngine]]] = {"duckdb": _duckdb, "spark": _spark, "lines": _lines}
