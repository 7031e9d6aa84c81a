"""The predictor: a KServe model that scores texts through cache, batcher and engine, and knows whether it is ready."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import kserve

from feature_checks.prediction_record import FeedbackRecord
from serving.errors import NotFound, NotReady, Overloaded, RequestError
from serving.inference.batcher import Batcher
from serving.inference.jobs import ANYBODY, Sender
from serving.inference.loading import PreparedModel
from serving.inference.results import ScoredTexts
from serving.loaded_model import LoadedModel
from serving.memory import BodyBudget, return_freed_memory
from serving.prediction_log.lines import AnsweredRequest
from serving.prediction_log.writer import PredictionLog
from serving.protocol.common import Prediction, quoted
from serving.protocol.metadata import INPUT_TYPES, OUTPUT_TYPES
from serving.protocol.v1 import predictions, request_of
from serving.settings import Settings
from serving.state.cache import ScoreCache
from serving.telemetry import metrics
from serving.telemetry.failure_log import FailureLog
from serving.telemetry.timings import Steps, Telemetry

logger = logging.getLogger(__name__)


class Predictor(kserve.Model):  # type: ignore[misc]  # kserve ships no types
    """Scores texts with the current version, or with any other loaded version that is named."""

    def __init__(self, settings: Settings) -> None:
        """Start without a model; `swap` provides one."""
        super().__init__(settings.model_name)
        self._settings = settings
        self._cache = ScoreCache(settings)
        self._log = None if settings.prediction_log == "off" else PredictionLog(settings)
        self._models: dict[str, LoadedModel] = {}
        self._current: LoadedModel | None = None
        self._retiring: set[asyncio.Task[None]] = set()
        self._draining = False
        self.cause = "no model has been loaded yet"
        """The reason why no model is served, as long as none is. Not for clients: it may hold addresses and paths."""
        self._telemetry = Telemetry(settings.model_name)
        self.failures = FailureLog(settings)
        """The log of failed requests, which REST and gRPC share."""
        self.bodies = BodyBudget(settings.max_bodies_bytes)
        """The budget of the bytes of requests, which REST and gRPC share."""
        metrics.READY.set_function(lambda: float(self.usable))

    async def open(self) -> None:
        """Start the prediction log."""
        if self._log:
            self._log.start()

    async def close(self) -> None:
        """Answer every accepted request, then stop the engines, the cache and the log, which is flushed."""
        self.begin_drain()
        models, self._models, self._current = list(self._models.values()), {}, None
        retiring = [*self._retiring, *(asyncio.create_task(self._retire(model)) for model in models)]
        if retiring:
            # A request that hangs must not keep the log from being flushed.
            await asyncio.wait(retiring, timeout=self._settings.drain_seconds)
        await self._cache.close()
        if self._log:
            await self._log.close()

    # -- readiness ---------------------------------------------------------------------------------------------

    @property
    def usable(self) -> bool:
        """Whether a request would be served now and the server is not shutting down."""
        return not self._draining and self._current is not None and self._current.batcher.healthy

    @property
    def why_not_ready(self) -> str:
        """The reason why the server is not ready, as long as it is not.

        Clients see it, so `cause` holds no address, path or credentials: those are only in the log.
        """
        if self._draining:
            return "the server is shutting down; send the request to another one"
        if self._current is None:
            return f"model {self.name!r}: no version could be loaded yet: {self.cause}; try again later"
        return f"model {self.name!r}: an engine worker is being replaced; try again in a moment"

    async def healthy(self) -> bool:
        """Return `usable`; KServe calls this for readiness."""
        return self.usable

    def load(self) -> bool:
        """Return `usable`; KServe would load here, on the event loop, but the alias watcher loads models."""
        return self.usable

    def begin_drain(self) -> None:
        """Turn readiness off. Requests are still answered."""
        self._draining = True

    @property
    def draining(self) -> bool:
        """Whether the server is shutting down."""
        return self._draining

    # -- versions ----------------------------------------------------------------------------------------------

    @property
    def current(self) -> LoadedModel | None:
        """The version that answers requests which name none; None before the first is loaded."""
        return self._current

    @property
    def versions(self) -> list[str]:
        """Every loaded version; the current one is last."""
        return list(self._models)

    def model(self, version: str | None = None) -> LoadedModel:
        """Return the named version, by default the current one. Raises NotReady or NotFound."""
        model = self._current
        if model is None:
            raise NotReady(self.why_not_ready, retry_after=5)
        if not version or version == model.version:
            return model
        if version not in self._models:
            raise NotFound(f"model {self.name!r}: version {quoted(version)} is not loaded; loaded are {self.versions}")
        return self._models[version]

    async def swap(self, prepared: PreparedModel) -> None:
        """Replace the current version by `prepared`; the replaced one is unloaded after its last request."""
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
        logger.info("version %s is unloaded", model.version)

    def _forget(self, retirement: asyncio.Task[None]) -> None:
        self._retiring.discard(retirement)
        retirement.get_loop().run_in_executor(None, return_freed_memory)

    # -- requests ----------------------------------------------------------------------------------------------

    def recall(self, model: LoadedModel, texts: Sequence[str]) -> Prediction | None:
        """Return the prediction of one version if every normalised text is in the memory cache, otherwise None."""
        scores = self._cache.recall(model.digest, texts)
        return None if scores is None else self._prediction(model, scores)

    async def score(
        self, model: LoadedModel, texts: Sequence[str], deadline: float | None, sender: Sender = ANYBODY
    ) -> Prediction:
        """Return the prediction of one version for normalised texts; `deadline` is in the event loop's time.

        Raises what `Batcher.score` raises.
        """
        with model.in_use():
            scores = await self._cache.score(model.batcher, model.digest, texts, deadline, sender)
        return self._prediction(model, scores)

    def _prediction(self, model: LoadedModel, scores: ScoredTexts) -> Prediction:
        truncated = sum(scores.truncated)
        return Prediction.of(self.name, model.version, scores.probabilities, scores.cached, truncated)

    def record(
        self, prediction: Prediction, texts: Sequence[str], request_id: str, protocol: str, user: str, steps: Steps
    ) -> None:
        """Update the metrics and the prediction log with one request whose reply is ready."""
        self._telemetry.record(protocol, steps, prediction)
        if self._log:
            self._log.append(
                AnsweredRequest(
                    request_id=request_id,
                    time=time.time(),
                    texts=texts,
                    probabilities=prediction.probabilities,
                    cached=prediction.cached,
                    model_version=prediction.model_version,
                    latency_seconds=sum(steps),
                    protocol=protocol,
                    user=user,
                )
            )

    def require_feedback(self) -> PredictionLog:
        """Return the log that stores labels. Raises NotFound if the server does not accept feedback."""
        if self._settings.feedback == "off" or self._log is None:
            raise NotFound("feedback: this server does not accept it; it needs FEEDBACK=on and a PREDICTION_LOG")
        return self._log

    def store_feedback(self, record: FeedbackRecord, user: str = "") -> None:
        """Store one label that `user` gave.

        Raises NotFound if the server accepts none, Overloaded if the log's queue is full.
        """
        if not self.require_feedback().append_feedback(record, user):
            raise Overloaded("the feedback was not stored: the log's queue is full; send it again", retry_after=5)

    # -- calls from KServe -------------------------------------------------------------------------------------

    async def predict(self, payload: Any, headers: Mapping[str, str] | None = None) -> Any:  # noqa: ARG002
        """Return the V1 predictions for a dictionary from KServe's dataplane, which the server's own routes bypass."""
        if not isinstance(payload, dict):
            raise RequestError(f"payload: found {type(payload).__name__}; expected a V1 dictionary")
        request = request_of(payload, self._settings.max_texts)
        return predictions(await self.score(self.model(), request.normalised, None))

    def get_input_types(self) -> list[dict[str, Any]]:
        """Return the input tensor's metadata."""
        return INPUT_TYPES

    def get_output_types(self) -> list[dict[str, Any]]:
        """Return the output tensors' metadata."""
        return OUTPUT_TYPES
