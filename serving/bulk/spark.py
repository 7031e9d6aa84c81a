"""Scores a Parquet data set with Spark: each task scores one part with the server's own engine and writes it.

review-sentiment score s3://bucket/reviews s3://bucket/scored --engine spark

A part that has been written is not scored again. Every worker gets the bundle from the driver, so that it needs no
access to the registry, and uses the arithmetic that the driver found: a worker whose processor does not reproduce the
bundle's reference with it fails, because its results would differ from the others.
"""

from __future__ import annotations

import functools
import os
import re
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from feature_checks import bundle as bundles
from feature_checks.bundle import Bundle, BundleError
from feature_checks.contract import LABELS, normalise
from feature_checks.documents.windows import Rows
from serving.bulk import parts as data_parts
from serving.bulk.decisions import DECISION_COLUMNS, decided
from serving.bulk.parts import Part, Plan
from serving.bulk.score import check_texts, result_rows
from serving.documents.decision import Reliance
from serving.inference.engine import Engine, OnnxEngine, self_test_gap
from serving.inference.jobs import BatchLimits
from serving.inference.loading import PreparedModel
from serving.inference.results import ScoredTexts
from serving.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

_ARCHIVE: Final = "review_sentiment_model"
_OTHER: Final = "other reasons"
_REASONS: Final = 20
_POLL_SECONDS: Final = 1.0

Advance = Callable[[int, int], None]
"""Takes the parts that are done and those there are."""


def score_parts(
    session: Any,
    prepared: PreparedModel,
    plan: Plan,
    target: str,
    advance: Advance,
    reliance: Reliance | None = None,
) -> dict[str, Any]:
    """Score the parts of a plan that `target` lacks, with a Spark session; return the report of all parts.

    With `reliance`, each row also has its language, decision and reason. Raises FileError for a target that cannot be
    used.
    """
    started = time.monotonic()
    model = {"version": prepared.version, "digest": prepared.bundle.digest, "arithmetic": prepared.arithmetic}
    decisions = {"decisions": {"max_error": reliance.max_error}} if reliance else {}
    data_parts.start(target, data_parts.described(plan) | {"model": model} | decisions)
    done = data_parts.finished(target)
    todo = [part for part in plan.parts if part.number not in done]
    advance(len(done), len(plan.parts))
    if todo:
        finished = functools.partial(data_parts.finished, target)
        _run(session, prepared, plan, todo, target, reliance, lambda: advance(len(finished()), len(plan.parts)))
    kept = {"parts": len(plan.parts), "scored_now": len(todo), "seconds": round(time.monotonic() - started, 1)}
    return summary(data_parts.reports(target)) | kept | {"model": model}


def _run(
    session: Any,
    prepared: PreparedModel,
    plan: Plan,
    todo: Sequence[Part],
    target: str,
    reliance: Reliance | None,
    poll: Callable[[], None],
) -> None:
    version, arithmetic, source, column = prepared.version, prepared.arithmetic, plan.source, plan.column

    def task(batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        from pyspark import SparkFiles

        os.environ["TOKENIZERS_PARALLELISM"] = "false"  # each core has a worker
        engine = worker_engine(SparkFiles.get(_ARCHIVE), arithmetic)
        for batch in batches:
            for position in batch["id"]:
                score_part(engine, version, source, column, todo[position], target, reliance)
            yield batch

    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(1) as thread:
        archive = write_archive(prepared, Path(scratch))
        session.sparkContext.addArchive(f"{archive}#{_ARCHIVE}")
        frame = session.range(0, len(todo), 1, len(todo)).mapInPandas(task, "id long")
        job = thread.submit(frame.count)
        while not job.done():
            time.sleep(_POLL_SECONDS)
            poll()
        job.result()
        poll()


def write_archive(prepared: PreparedModel, folder: Path) -> Path:
    """Write the model as a zip file: the bundle, and the FP32 model beside it where that is what is used."""
    bundle, path = prepared.bundle, folder / "model.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in (bundles.MANIFEST, *bundle.manifest.files):
            archive.write(bundle.folder / name, f"bundle/{name}")
        if prepared.arithmetic == "fp32":
            archive.write(bundle.fp32_path, bundles.FP32_MODEL)
    return path


@functools.lru_cache(maxsize=1)
def worker_engine(folder: str, arithmetic: str) -> OnnxEngine:
    """Return the engine of this process, loaded once. Raises BundleError if this processor must not use it."""
    bundle: Bundle = bundles.load(Path(folder) / "bundle")
    engine = OnnxEngine(bundle, model=bundle.fp32_path if arithmetic == "fp32" else None)
    gap, limit = self_test_gap(engine, bundle), bundle.manifest.self_test_max_gap
    if not gap <= limit:
        raise BundleError(
            f"self-test: {arithmetic} is off by {gap:.4f} on this worker's processor; at most {limit:.4f} is allowed, "
            "so that all results come from one arithmetic: use workers with one kind of processor"
        )
    return engine


def score_part(
    engine: Engine,
    version: str,
    source: str,
    column: str,
    part: Part,
    target: str,
    reliance: Reliance | None = None,
) -> None:
    """Score one part and write it with its report."""
    report: dict[str, Any] = {"rows": 0, "labels": {}, "truncated": 0, "refused": {}}
    with closing(data_parts.read_part(source, column, part)) as texts:
        chunks = _chunks(engine, version, texts, part.first, report)
        if reliance is None:
            data_parts.write_part(target, part.number, chunks, report)
            return
        deciding = ([decided(row, reliance) for row in rows] for rows in chunks)
        data_parts.write_part(target, part.number, deciding, report, DECISION_COLUMNS)


def _chunks(
    engine: Engine, version: str, texts: Iterator[list[Any]], row: int, report: dict[str, Any]
) -> Iterator[list[dict[str, Any]]]:
    for chunk in texts:
        checked, good = check_texts(chunk)
        rows = result_rows(row, checked, score_texts(engine, good) if good else None, version)
        report.update(summary([report, _report(rows)]))
        row += len(rows)
        yield rows


def score_texts(engine: Engine, texts: Sequence[str]) -> ScoredTexts:
    """Return the results of some texts, computed in batches of similar length on this thread."""
    settings = Settings()
    limits = BatchLimits(settings.batch_texts, settings.batch_tokens)
    normalised = [normalise(text) for text in texts]
    rows = Rows.of(normalised, engine.encode(normalised), engine.encode, engine.aggregation)
    encoded = rows.encoded
    order = sorted(range(len(encoded)), key=lambda index: len(encoded[index].ids))
    result = np.empty((len(encoded), 3), dtype=np.float32)
    batch: list[int] = []
    for index in order:
        if batch and not limits.allow(len(batch) + 1, len(encoded[index].ids)):
            result[batch] = engine.run([encoded[index] for index in batch])
            batch = []
        batch.append(index)
    result[batch] = engine.run([encoded[index] for index in batch])
    return ScoredTexts(rows.combine(result), rows.truncated, [False] * len(texts))


def _report(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        "rows": len(rows),
        "labels": Counter(row["label"] for row in rows if row["label"] is not None),
        "truncated": sum(bool(row["truncated"]) for row in rows),
        "refused": Counter(_reason(row["error"]) for row in rows if row["error"]),
    }


def _reason(error: str) -> str:
    """Return an error without what is particular to its row, so that equal reasons are counted together."""
    reason = error.removeprefix("text: ").partition(". Send less")[0]
    return re.sub(r"found \d+ characters", "too many characters", reason)


def summary(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the sum of reports: rows, rows of each label, truncated rows, and refused rows by reason."""
    labels: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    for one in found:
        labels.update(one["labels"])
        refused.update(one["refused"])
    for reason in [reason for reason, _ in refused.most_common()[_REASONS:]]:
        refused[_OTHER] += refused.pop(reason)
    return {
        "rows": sum(one["rows"] for one in found),
        "labels": {label: labels[label] for label in LABELS},
        "truncated": sum(one["truncated"] for one in found),
        "refused": dict(refused),
    }
