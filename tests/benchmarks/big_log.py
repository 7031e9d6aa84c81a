"""A prediction log of any size, in the predictor's own line format, and the reading of one window of it.

python -m tests.benchmarks.big_log write /data/log --lines 10000000 --days 30
python -m tests.benchmarks.big_log read /data/log --end 2026-10-31 --hours 24 --engine duckdb

`read` prints seconds, memory and a digest of the window's rows as JSON. Some lines are damaged, some are there twice,
and one text in a hundred has a label.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import resource
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np

from feature_checks.contract import LABELS
from feature_checks.prediction_record import FEEDBACK, PREDICTIONS, FeedbackRecord, segment_path
from serving.prediction_log.lines import AnsweredRequest, LineMaker

START: Final = datetime(2026, 10, 1, tzinfo=UTC)
TORN: Final = b'{"request_id": "torn", "it\n'
DAMAGED_EVERY: Final = 50_000
TWICE_EVERY: Final = 10_000
LABELLED_EVERY: Final = 100
_TEXTS: Final = 5_000
_WORDS: Final = ("the", "it", "works", "very", "well", "badly", "battery", "screen", "sound", "price", "broke", "fine")
_ODD: Final = 0x9E3779B97F4A7C15F39CC0605CEDC835  # multiplying by an odd number gives every request another id


def write_log(folder: Path, lines: int, days: int) -> None:
    """Write `lines` predictions, equally spread over `days` days from START on, one segment an hour."""
    endings = _endings()
    maker = LineMaker("keep", b"key")
    hours = days * 24
    for hour in range(hours):
        numbers = range(lines * hour // hours, lines * (hour + 1) // hours)
        _write_segment(folder, START + timedelta(hours=hour), numbers, endings, maker)


def _endings() -> list[bytes]:
    """Return what follows the timestamp in the lines of some texts."""
    random.seed(0)
    texts = [" ".join(random.choices(_WORDS, k=random.randrange(4, 40))) for _ in range(_TEXTS)]
    chances = np.random.default_rng(0).dirichlet((1, 1, 1), _TEXTS).astype(np.float32)
    answered = AnsweredRequest("r", 0.0, texts, chances, [False] * _TEXTS, "3", 0.004, "v2", "user")
    lines = LineMaker("keep", b"key").predictions(answered).content.splitlines(keepends=True)
    return [line[line.index(b'"text"') :] for line in lines]


def _write_segment(folder: Path, moment: datetime, numbers: range, endings: Sequence[bytes], maker: LineMaker) -> None:
    predictions, feedback = bytearray(), bytearray()
    for first, count in _requests(numbers):
        request = f"{first * _ODD % (1 << 128):032x}"
        at = moment + timedelta(seconds=3_599 * (first - numbers.start) / len(numbers))
        start = f'{{"request_id":"{request}","item":%d,"timestamp":"{at.isoformat(timespec="milliseconds")}",'.encode()
        lines = b"".join(start % item + endings[(first + item) % _TEXTS] for item in range(count))
        predictions += lines * (1 + (first % TWICE_EVERY < count)) + TORN * (first % DAMAGED_EVERY < count)
        if first % LABELLED_EVERY < count:
            given = (at + timedelta(hours=2)).isoformat(timespec="milliseconds")
            feedback += maker.feedback(FeedbackRecord(request, 0, given, LABELS[first % 3]), "user").content
    for kind, content in ((PREDICTIONS, predictions), (FEEDBACK, feedback)):
        path = folder / segment_path(kind, f"{moment:%Y-%m-%dT%H}", "pod-1")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _requests(numbers: range) -> Iterator[tuple[int, int]]:
    """Yield the first text and the number of texts of each request, one to seven."""
    first = numbers.start
    while first < numbers.stop:
        count = min(1 + first % 7, numbers.stop - first)
        yield first, count
        first += count


def read_window(log: str, end: datetime, hours: float, engine: str, rows: int) -> dict[str, Any]:
    """Read one window in this process; return its size, what it took and a digest of its rows."""
    from monitoring.prediction_log.engines import engine_named
    from monitoring.windows.log_window import from_log

    started, before = time.perf_counter(), _cpu()
    window = from_log(log, max_rows=rows, end=end, hours=hours, engine=engine_named(engine))
    seconds = time.perf_counter() - started
    content = window.frame.to_json() + window.labelled.to_json()
    return {
        "engine": engine,
        "hours": hours,
        "seconds": round(seconds, 2),
        "cpu_seconds": round(_cpu() - before, 2),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "lines": window.total_rows,
        "damaged_lines": window.damaged_lines,
        "labelled": len(window.labelled),
        "rows": len(window.frame),
        "digest": hashlib.sha256(content.encode()).hexdigest()[:16],
    }


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("write", "read"))
    parser.add_argument("folder")
    parser.add_argument("--lines", type=int, default=10_000_000)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--end", default="2026-10-31", help="end of the window, ISO 8601 in UTC")
    parser.add_argument("--hours", type=float, default=24)
    parser.add_argument("--rows", type=int, default=500, help="rows of the sample")
    parser.add_argument("--engine", default="duckdb")
    given = parser.parse_args()
    if given.action == "write":
        write_log(Path(given.folder), given.lines, given.days)
    else:
        end = datetime.fromisoformat(given.end).replace(tzinfo=UTC)
        print(json.dumps(read_window(given.folder, end, given.hours, given.engine, given.rows)))


if __name__ == "__main__":
    main()
