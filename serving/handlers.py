"""What the server does with one request, the same for V1, V2 and gRPC: parse, find the model, score, reply, record.

The protocols differ only in their `WireFormat`. HTTP routing and headers stay in `serving/api/routes.py`, gRPC status
codes and metadata in `serving/api/servicer.py`.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from feature_checks.prediction_record import FeedbackRecord
from serving.documents.decision import Reliance
from serving.documents.extras import extras_of
from serving.documents.language_sample import LanguageSample
from serving.errors import DeadlineExceeded, ServingError
from serving.inference.jobs import Sender
from serving.loaded_model import LoadedModel
from serving.memory import most_text_bytes
from serving.predictor import Predictor
from serving.protocol.cloud_events import Attributes, event_reply, parse_event
from serving.protocol.common import InferRequest, Prediction
from serving.protocol.feedback import parse_feedback
from serving.protocol.v1 import explain_reply, parse_explain, parse_predict, predict_reply
from serving.protocol.v2 import infer_reply, parse_infer
from serving.settings import Settings
from serving.telemetry import tracing
from serving.telemetry.request_sample import RequestSample
from serving.telemetry.timings import Steps

C = TypeVar("C")
"""What a protocol delivers: the bytes of a body, or a protocol buffer."""
R = TypeVar("R")
"""What a protocol sends back."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class WireFormat(Generic[C, R]):
    """How one protocol writes a request and its reply."""

    size: Callable[[C], int]
    """Returns the bytes of a content."""
    name: str
    """The name of the protocol in metrics and in the prediction log."""
    parse: Callable[[C, bytes | None, int], InferRequest]
    """Takes the content, the length of the JSON part before binary tensors and the most texts allowed."""
    reply: Callable[[Prediction, InferRequest, str], R]
    """Takes the prediction, the request that it answers and the request id."""
    most_text_bytes: Callable[[C], int]
    """Returns the most memory that the texts of a content can take."""


INLINE_BYTES: Final = 64 * 1024
"""A longer content is parsed in a thread, so that the event loop can answer other requests meanwhile."""

V1: Final[WireFormat[bytes, bytes]] = WireFormat(len, "v1", parse_predict, predict_reply, most_text_bytes)
CLOUD_EVENT: Final[WireFormat[bytes, tuple[bytes, Attributes]]] = WireFormat(
    len, "v1", parse_event, event_reply, most_text_bytes
)
EXPLAIN: Final[WireFormat[bytes, bytes]] = WireFormat(len, "v1", parse_explain, explain_reply, most_text_bytes)
V2: Final[WireFormat[bytes, tuple[bytes, int | None]]] = WireFormat(
    len, "v2", parse_infer, infer_reply, most_text_bytes
)


class Call:
    """What every request has, whatever the protocol."""

    __slots__ = ("deadline", "model_version", "request_id", "user", "version")

    def __init__(self, request_id: str, deadline: float, version: str | None = None) -> None:
        """Take the server's id for the request, and the deadline of the reply in the event loop's time."""
        self.request_id = request_id
        self.deadline = deadline
        self.version = version
        """The model version that the client asked for; None for the current one."""
        self.user = ""
        """The user whose allowance the request counts towards; empty where requests are not limited."""
        self.model_version = ""
        """The version that answers the request; empty until one has been chosen."""

    @property
    def client_id(self) -> str:
        """The X-Request-Id that the client sent; empty if it sent none."""
        return ""


class Handlers:
    """Answers requests with one predictor. Belongs to the event loop.

    Example: `body, prediction = await handlers.infer(V1, call, b'{"instances": ["It is good."]}')`.
    """

    def __init__(self, predictor: Predictor, settings: Settings) -> None:
        """Use `predictor` for every request."""
        self._predictor = predictor
        self._max_texts = settings.max_texts
        self._max_error = settings.default_max_error
        self._sample = RequestSample(settings.log_sample, predictor.failures)
        self._languages = LanguageSample()
        self._parser = ThreadPoolExecutor(1, thread_name_prefix="parse")

    async def infer(
        self, wire: WireFormat[C, R], call: Call, content: C, header_length: bytes | None = None
    ) -> tuple[R, Prediction]:
        """Return the reply to one inference request, and the prediction in it.

        Raises RequestError, or what `Predictor.model` and `Predictor.score` raise.
        """
        started = time.monotonic()
        if wire.size(content) <= INLINE_BYTES:
            request = wire.parse(content, header_length, self._max_texts)
            return await self._answer(wire, call, request, started)
        bodies = self._predictor.bodies
        # The texts are counted before there are any, because parsing a body at the limit takes nine times its memory.
        with bodies.holding(await self.in_thread(call.deadline, wire.most_text_bytes, content)):
            request = await self.in_thread(call.deadline, wire.parse, content, header_length, self._max_texts)
        with bodies.holding(_text_bytes(request)):
            return await self._answer(wire, call, request, started)

    async def _answer(
        self, wire: WireFormat[C, R], call: Call, request: InferRequest, started: float
    ) -> tuple[R, Prediction]:
        """Return the reply to a parsed request; `started` is the time of its arrival by `time.monotonic`."""
        parsed = time.monotonic()
        model = self._predictor.model(call.version)
        call.model_version = model.version
        if request.extras:
            prediction = await self._with_extras(request, model, call)
        else:
            prediction = self._recall(request, model) or await self._score(model, request.normalised, request, call)
        prediction.truncated += request.truncated
        scored = time.monotonic()
        reply = wire.reply(prediction, request, call.request_id)
        steps = Steps(parsed - started, scored - parsed, time.monotonic() - scored)
        self._predictor.record(prediction, request.texts, call.request_id, wire.name, call.user, steps)
        if tracing.tracer is not None:
            tracing.step("parse", started, parsed, {"sentiment.texts": len(request.texts)})
        if self._sample.due():
            self._sample.write(
                request_id=call.request_id,
                client_id=call.client_id,
                protocol=wire.name,
                user=call.user,
                prediction=prediction,
                steps=steps,
            )
        self._languages.observe(request.texts[0], model.languages)
        return reply, prediction

    def _recall(self, request: InferRequest, model: LoadedModel) -> Prediction | None:
        """Return the prediction if it is in the memory cache as a whole."""
        if tracing.tracer is None:
            return self._predictor.recall(model, request.normalised)
        began = time.monotonic()
        prediction = self._predictor.recall(model, request.normalised)
        if prediction is not None:
            tracing.step("cache", began, time.monotonic(), {"sentiment.cached": len(request.texts)})
        return prediction

    async def _score(self, model: LoadedModel, texts: Sequence[str], request: InferRequest, call: Call) -> Prediction:
        return await self._predictor.score(model, texts, call.deadline, Sender(call.user, request.priority))

    async def _with_extras(self, request: InferRequest, model: LoadedModel, call: Call) -> Prediction:
        """Return the prediction with its optional outputs, all from one version, which stays loaded meanwhile."""
        asked, default = request.max_error, self._max_error
        reliance = Reliance.of(model.languages, model.max_errors, asked, default, model.version)

        async def score(texts: Sequence[str]) -> Prediction:
            return await self._score(model, texts, request, call)

        with model.in_use():
            prediction = self._recall(request, model) or await score(request.normalised)
            prediction.extras = await extras_of(request.extras, request, prediction, score, reliance)
        return prediction

    async def in_thread(self, deadline: float, parse: Callable[..., T], *arguments: Any) -> T:
        """Return `parse(*arguments)`, computed in the parser's thread. Raises DeadlineExceeded, or what it raises."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout_at(deadline):
                result = await loop.run_in_executor(self._parser, _result_or_error, parse, *arguments)
        except TimeoutError as error:
            raise DeadlineExceeded from error
        if isinstance(result, ServingError):
            try:
                raise result
            finally:
                del result
        return result

    async def feedback(self, body: bytes, user: str = "") -> FeedbackRecord:
        """Store the label in the body of a feedback request of `user`, and return it.

        Raises RequestError, or what `Predictor.store_feedback` raises.
        """
        self._predictor.require_feedback()
        record = parse_feedback(body)
        self._predictor.store_feedback(record, user)
        return record


def _result_or_error(parse: Callable[..., T], *arguments: Any) -> T | ServingError:
    """Return the result of `parse`, or the error that it raises, without its traceback.

    The traceback refers to the frames that hold a large body, and the future of the thread to the error: together they
    would stay in memory until the next full garbage collection.
    """
    try:
        return parse(*arguments)
    except ServingError as error:
        return error.with_traceback(None)


def _text_bytes(request: InferRequest) -> int:
    """Return the bytes of memory that the texts of a request take: up to eight times as many as its body has.

    A text that normalisation leaves as it is takes its memory once.
    """
    changed = (clean for clean, text in zip(request.normalised, request.texts, strict=True) if clean is not text)
    return sum(map(sys.getsizeof, request.texts)) + sum(map(sys.getsizeof, changed))
