"""Scores a file of any size with the serving engine.

python -m serving score reviews.csv scores.parquet       .csv, .jsonl and .parquet, in and out
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.progress import Progress as ProgressBar
from rich.progress import TimeRemainingColumn

from feature_checks.contract import LABELS, TEXT
from serving.bulk.decisions import DECISION_COLUMNS, decided, reliance_of
from serving.bulk.files import FileError, Progress, check_output, read_texts, write_results
from serving.documents.decision import Reliance
from serving.errors import RequestError
from serving.inference.batcher import Batcher
from serving.inference.results import ScoredTexts
from serving.protocol.common import check_text
from serving.settings import Settings

if TYPE_CHECKING:
    from serving.inference.loading import PreparedModel

logger = logging.getLogger(__name__)

_CHUNK: Final = 1_000
"""The number of rows between two writes: a second or two of work, and the most that a crash can cost."""

_AHEAD: Final = 1
"""The number of chunks in the engine besides the awaited one, so that it is busy while results are written."""

CheckedText = tuple[Any, str | None]
"""A value of the input, and why it is not scored; None for a text that is."""

_Chunk = tuple[list[CheckedText], asyncio.Task[ScoredTexts] | None]


def score(
    source: Annotated[Path, typer.Argument(metavar="INPUT", help="a .csv, .jsonl or .parquet file")],
    output: Annotated[Path, typer.Argument(metavar="OUTPUT", help="where the results go, in any of the formats")],
    text_column: Annotated[str, typer.Option(help="the input's column or member with the texts")] = TEXT,
    decisions: Annotated[bool, typer.Option("--decisions", help="add the columns language, decision, reason")] = False,
    max_error: Annotated[float | None, typer.Option(help="the share of wrong answers that decisions accept")] = None,
) -> None:
    """Score every row of INPUT with the model of MODEL_URI. If interrupted, run the same command again to resume."""
    try:
        check_output(output)
        prepared = load_configured_model()
        reliance = None
        if decisions or max_error is not None:
            reliance = reliance_of(prepared, max_error, Settings().default_max_error)
        rows = score_file(prepared, source, output, text_column, reliance)
    except (FileError, OSError) as error:
        raise typer.BadParameter(str(error)) from error
    logger.info("%s: %d rows with version %s", output, rows, prepared.version)


def score_file(
    prepared: PreparedModel, source: Path, output: Path, text_column: str = TEXT, reliance: Reliance | None = None
) -> int:
    """Score `source` into `output`, resuming from the progress file of `output`; return the number of rows.

    With `reliance`, each row also has its language, decision and reason. Raises FileError for a file that cannot be
    used.
    """
    total = sum(1 for _ in read_texts(source, text_column))
    origin = {
        "input": str(source.absolute()),
        "content": _digest(source),
        "column": text_column,
        "model": prepared.bundle.digest,
        "arithmetic": prepared.arithmetic,
    }
    progress = Progress.resume(output.with_name(f"{output.name}.progress"), origin)
    with ProgressBar(*ProgressBar.get_default_columns()[:-1], TimeRemainingColumn()) as bar:
        task = bar.add_task("scoring", total=total, completed=progress.done)
        rest = islice(read_texts(source, text_column), progress.done, None)
        asyncio.run(_score_rows(prepared, rest, progress, lambda rows: bar.advance(task, rows)))
    if reliance:
        write_results(output, (decided(row, reliance) for row in progress.results()), DECISION_COLUMNS)
    else:
        write_results(output, progress.results())
    progress.path.unlink()
    return total


def _digest(source: Path) -> str:
    """Return a digest of the content: an input that was edited or sorted in between may have the same size."""
    with source.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()[:32]


def load_configured_model() -> PreparedModel:
    """Return the model of MODEL_URI, loaded and self-tested. Raises BundleError or RegistryError."""
    from serving.models.source import ModelSource

    models = ModelSource(Settings())
    try:
        return models.load(models.resolve())
    finally:
        models.close()


async def _score_rows(
    prepared: PreparedModel, texts: Iterator[Any], progress: Progress, advance: Callable[[int], None]
) -> None:
    batcher = Batcher(prepared.engine, Settings())
    await batcher.start()
    under_way: deque[_Chunk] = deque()
    row = progress.done
    try:
        for chunk in _chunks(texts):
            under_way.append(_begin(batcher, chunk))
            if len(under_way) > _AHEAD:
                row = await _end(under_way.popleft(), row, prepared, progress, advance)
        while under_way:
            row = await _end(under_way.popleft(), row, prepared, progress, advance)
    finally:
        await batcher.stop()


def _chunks(texts: Iterator[Any]) -> Iterator[list[Any]]:
    while chunk := list(islice(texts, _CHUNK)):
        yield chunk


async def _end(
    chunk: _Chunk, row: int, prepared: PreparedModel, progress: Progress, advance: Callable[[int], None]
) -> int:
    """Wait for the results of one chunk and write them; return the number of the row after it."""
    texts, scoring = chunk
    progress.append(result_rows(row, texts, await scoring if scoring else None, prepared.version))
    advance(len(texts))
    return row + len(texts)


def _begin(batcher: Batcher, chunk: list[Any]) -> _Chunk:
    checked, good = check_texts(chunk)
    return checked, asyncio.create_task(batcher.score(good)) if good else None


def check_texts(values: Sequence[Any]) -> tuple[list[CheckedText], list[str]]:
    """Return each value with why it is not scored, and the texts that are scored."""
    checked = [(value, _refusal(value)) for value in values]
    return checked, [value for value, problem in checked if problem is None]


def _refusal(value: Any) -> str | None:
    try:
        check_text(value, "text")
    except RequestError as error:
        return error.message
    return None


def result_rows(
    first: int, texts: Sequence[CheckedText], scores: ScoredTexts | None, version: str
) -> list[dict[str, Any]]:
    """Return the results of rows that follow each other from number `first` on; `scores` has those not refused."""
    scored = iter(zip(scores.probabilities.tolist(), scores.truncated, strict=True)) if scores else iter(())
    rows = []
    for row, (text, problem) in enumerate(texts, first):
        if problem is None:
            probabilities, truncated = next(scored)
            verdict = _verdict(probabilities) | {"truncated": truncated}
        else:
            verdict = dict.fromkeys(("label", "confidence", *LABELS, "truncated"))
        shown = text if text is None or isinstance(text, str) else str(text)
        rows.append({"row": row, "text": shown, **verdict, "model_version": version, "error": problem})
    return rows


def _verdict(probabilities: Sequence[float]) -> dict[str, Any]:
    confidence = max(probabilities)
    label = LABELS[probabilities.index(confidence)]
    return {"label": label, "confidence": confidence} | dict(zip(map(str, LABELS), probabilities, strict=True))
