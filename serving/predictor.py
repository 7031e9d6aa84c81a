"""The predictor: a KServe model that puts the rooms in order (cache → batcher → engine) and owns readiness."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import kserve

from feature_checks.prediction_record import FeedbackRecord
from serving import metrics
from serving.batcher import Batcher, Scores
from serving.cache import ScoreCache
from serving.errors import NotFound, NotReady, RequestError
from serving.feedback import accept
from serving.loading import Prepared
from serving.log_lines import AnsweredRequest
from serving.metadata import INPUT_TYPES, OUTPUT_TYPES
from serving.prediction_log import PredictionLog
from serving.protocol import Verdicts
from serving.protocol_v1 import predictions, texts_of
from serving.settings import Settings
from serving.telemetry import Steps, Telemetry

logger = logging.getLogger(__name__)


@dataclass(eq=False)
class LoadedModel:
    """One loaded version. It outlives its last request by nothing."""

    prepared: Prepared
    batcher: Batcher
    version: str = field(init=False)
    digest: str = field(init=False)
    """Of the bundle and the arithmetic: what an answer depends on besides its text."""
    in_flight: int = 0
    idle: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.version = self.prepared.version
        self.digest = f"{self.prepared.bundle.digest}:{self.prepared.arithmetic}"
        self.idle.set()


class Answer(NamedTuple):
    """The scores of one request, all of one version."""

    model: LoadedModel
    scores: Scores
    verdicts: Verdicts
    truncated: int
    """How many of the texts the model read only the beginning of."""


class Predictor(kserve.Model):  # type: ignore[misc]  # kserve ships no types
    """Scores texts with the current version; any version that is still loaded can be asked for by number."""

    def __init__(self, settings: Settings) -> None:
        """Nothing is loaded yet: `swap` makes it ready."""
        super().__init__(settings.model_name)
        self._settings = settings
        self._cache = ScoreCache(settings)
        self._log = None if settings.prediction_log == "off" else PredictionLog(settings)
        self._models: dict[str, LoadedModel] = {}
        self._current: LoadedModel | None = None
        self._retiring: set[asyncio.Task[None]] = set()
        self._draining = False
        self.cause = "no model has been loaded yet"
        """Why nothing is served, as long as nothing is."""
        self._telemetry = Telemetry(settings.model_name)
        metrics.READY.set_function(lambda: float(self.usable))

    async def open(self) -> None:
        """Start what runs beside the requests: cache and prediction log."""
        await self._cache.start()
        if self._log:
            self._log.start()

    async def close(self) -> None:
        """Answer what has been accepted, then end engines, cache and log; what they hold is flushed."""
        self.begin_drain()
        models, self._models, self._current = list(self._models.values()), {}, None
        await asyncio.gather(*self._retiring, *(self._retire(model) for model in models))
        await self._cache.close()
        if self._log:
            await self._log.close()

    # -- readiness ---------------------------------------------------------------------------------------------

    @property
    def usable(self) -> bool:
        """Tell whether a request would be served now and the server means to stay."""
        return not self._draining and self._current is not None and self._current.batcher.healthy

    @property
    def why_not_ready(self) -> str:
        """Say what keeps the server from being ready, as long as something does."""
        if self._draining:
            return "the server is shutting down; send the request to another one"
        if self._current is None:
            return f"model {self.name!r}: {self.cause}; try again later"
        return f"model {self.name!r}: an engine worker is being replaced; try again in a moment"

    async def healthy(self) -> bool:
        """KServe's question for readiness."""
        return self.usable

    def load(self) -> bool:
        """KServe would load here, on the event loop; loading is done by following the registry."""
        return self.usable

    def begin_drain(self) -> None:
        """Turn readiness off; requests are still answered."""
        self._draining = True

    @property
    def draining(self) -> bool:
        """Tell whether the server is on its way down."""
        return self._draining

    # -- versions ----------------------------------------------------------------------------------------------

    @property
    def current(self) -> LoadedModel | None:
        """The version that answers when none is asked for."""
        return self._current

    @property
    def versions(self) -> list[str]:
        """Every loaded version, the current one last."""
        return list(self._models)

    def model(self, version: str | None = None) -> LoadedModel:
        """Return the current version, or the one asked for. Raises NotReady or NotFound."""
        model = self._current
        if model is None:
            raise NotReady(self.why_not_ready, retry_after=5)
        if not version or version == model.version:
            return model
        if version not in self._models:
            raise NotFound(f"model {self.name!r}: version {version!r} is not loaded; loaded are {self.versions}")
        return self._models[version]

    async def swap(self, prepared: Prepared) -> None:
        """Put a prepared version in place of the current one; that one is retired after its last request."""
        batcher = Batcher(prepared.engine, self._settings)
        await batcher.start()
        new, old = LoadedModel(prepared, batcher), self._current
        self._models.pop(new.version, None)
        self._models[new.version] = self._current = new
        metrics.MODEL_INFO.clear()
        metrics.MODEL_INFO.labels(new.version, prepared.bundle.digest[:12], prepared.arithmetic).set(1)
        metrics.MODEL_CREATED.set(datetime.fromisoformat(prepared.bundle.manifest.created).timestamp())
        logger.info("version %s is served%s", new.version, f" in place of {old.version}" if old else "")
        if old is not None:
            task = asyncio.create_task(self._retire(old))
            self._retiring.add(task)
            task.add_done_callback(self._forget)

    async def _retire(self, model: LoadedModel) -> None:
        await model.idle.wait()
        if self._models.get(model.version) is model:
            del self._models[model.version]
        await model.batcher.stop()
        logger.info("version %s is retired", model.version)

    def _forget(self, retirement: asyncio.Task[None]) -> None:
        self._retiring.discard(retirement)
        retirement.get_loop().run_in_executor(None, _return_freed_memory)

    # -- requests ----------------------------------------------------------------------------------------------

    def recall(self, model: LoadedModel, texts: Sequence[str]) -> Answer | None:
        """Return the answer of one version where nothing has to be waited for."""
        scores = self._cache.recall(model.digest, texts)
        return None if scores is None else _answer(model, scores)

    async def score(self, model: LoadedModel, texts: Sequence[str], deadline: float | None) -> Answer:
        """Return the answer of one version; `deadline` is in the event loop's time.

        Raises what `Batcher.score` raises.
        """
        model.in_flight += 1
        model.idle.clear()
        try:
            scores = await self._cache.score(model.batcher, model.digest, texts, deadline)
        finally:
            model.in_flight -= 1
            if not model.in_flight:
                model.idle.set()
        return _answer(model, scores)

    def answered(
        self, answer: Answer, texts: Sequence[str], request_id: str, protocol: str, user: str, steps: Steps
    ) -> None:
        """Count and log one request whose reply is on its way."""
        self._telemetry.answered(protocol, steps, answer.verdicts, answer.truncated)
        if self._log:
            scores = answer.scores
            self._log.append(
                AnsweredRequest(
                    request_id=request_id,
                    time=time.time(),
                    texts=texts,
                    probabilities=scores.probabilities,
                    cached=scores.cached,
                    model_version=answer.model.version,
                    latency_seconds=sum(steps),
                    protocol=protocol,
                    user=user,
                )
            )

    def feedback(self, body: bytes) -> FeedbackRecord:
        """Store the label in a feedback request's body. Raises NotFound where feedback is off, or as `accept`."""
        if self._settings.feedback == "off" or self._log is None:
            raise NotFound("feedback: not accepted here; it needs FEEDBACK=on and a PREDICTION_LOG")
        return accept(body, self._log)

    # -- KServe's own way in -----------------------------------------------------------------------------------

    async def predict(self, payload: Any, headers: Mapping[str, str] | None = None) -> Any:  # noqa: ARG002
        """Answer a V1 dictionary that came through KServe's own dataplane; the routes do not pass here."""
        if not isinstance(payload, dict):
            raise RequestError(f"payload: found {type(payload).__name__}; expected a V1 dictionary")
        answer = await self.score(self.model(), texts_of(payload, self._settings.max_texts), None)
        return predictions(answer.verdicts)

    def get_input_types(self) -> list[dict[str, Any]]:
        """Return the input tensor's metadata."""
        return INPUT_TYPES

    def get_output_types(self) -> list[dict[str, Any]]:
        """Return the output tensors' metadata."""
        return OUTPUT_TYPES


def _answer(model: LoadedModel, scores: Scores) -> Answer:
    return Answer(model, scores, Verdicts.of(scores.probabilities), sum(scores.truncated))


def _return_freed_memory() -> None:
    """Hand a retired model's pages back to the system; glibc would keep them in the arenas of ended threads."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", lambda _: 0)
    trim(0)
