"""The results of a request, whole or in part, and the reasons why there are none."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from feature_checks.classifier import EncodedText, Probabilities
from feature_checks.documents.windows import Rows
from serving.errors import EngineFailed, NotReady, ServingError
from serving.inference.jobs import Job
from serving.telemetry import tracing


class ScoredTexts(NamedTuple):
    """The results of n texts, in their order."""

    probabilities: Probabilities
    """The probabilities, n x 3 in contract order."""
    truncated: Sequence[bool]
    """For each text, whether a part of it could not be read."""
    cached: Sequence[bool]
    """For each text, whether its result was computed for an earlier request."""


KeepFinished = Callable[[list[int], ScoredTexts], None]
"""Receives the indices and the results of the texts of a broken request that had been computed."""


@dataclass(frozen=True)
class RequestRows:
    """What the engine computes for one request, and how that becomes the results of its texts."""

    rows: list[EncodedText]
    """One row for each text, or those of `windows`."""
    windows: Rows | None
    """The rows of the texts if one of them is longer than the model reads at once."""
    keep_finished: KeepFinished | None

    @property
    def truncated(self) -> list[bool]:
        """For each text, whether a part of it could not be read."""
        return self.windows.truncated if self.windows else [False] * len(self.rows)

    def combined(self, probabilities: Probabilities) -> Probabilities:
        """Return one line for each text from one line for each row; NaN stands for what was not computed."""
        return self.windows.combine(probabilities) if self.windows else probabilities

    def keep(self, probabilities: Probabilities) -> None:
        """Hand over the results of the texts whose rows have all been computed."""
        if self.keep_finished is None:
            return
        texts, truncated = self.combined(probabilities), self.truncated
        finished = np.flatnonzero(~np.isnan(texts[:, 0])).tolist()
        cut = [truncated[index] for index in finished]
        self.keep_finished(finished, ScoredTexts(texts[finished], cut, [False] * len(finished)))


def inference_hung() -> ServingError:
    """Return the error of a request whose batch has hung."""
    return NotReady("inference took too long and was given up; try again", retry_after=1)


def engine_failed(cause: BaseException) -> ServingError:
    """Return the error for clients: the cause is in the log, because it may hold paths and other internals."""
    failure = EngineFailed("inference failed; the log of the server has the cause")
    failure.__cause__ = cause
    return failure


def trace_job(job: Job) -> None:
    """Record how long a job has waited in the queue, and how long its batches took."""
    now = time.monotonic()
    began = job.started_at or now
    tracing.step("queue", job.queued_at, began, {"sentiment.texts": len(job.texts)})
    if job.started_at:
        tracing.step("inference", began, now, {"sentiment.texts": len(job.texts) - job.remaining})
