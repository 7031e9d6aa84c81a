"""`inference.GRPCInferenceService` with the same rules as the REST routes: parsing, versions, limits, errors."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, Final, TypeVar
from urllib.parse import unquote

from grpc import StatusCode
from grpc.aio import ServicerContext
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.servicer import InferenceServicer

from serving import metadata, metrics
from serving.errors import NotFound, RequestError, ServingError
from serving.identity import Identity, allowance, refusal
from serving.limits import RateLimiter
from serving.predictor import Answer, Predictor
from serving.protocol import OUTPUTS, InferRequest
from serving.protocol_v2 import (
    LABEL_BYTES,
    binary_texts,
    check_input,
    check_output,
    element_texts,
    numbers,
    raw_output,
    tensor_type,
)
from serving.request_ids import request_ids
from serving.settings import Settings
from serving.telemetry import Steps

logger = logging.getLogger(__name__)

Context = ServicerContext[Any, Any]
Q = TypeVar("Q")
R = TypeVar("R")
Method = Callable[[Any, Q, Context], Awaitable[R]]

_MANAGED: Final = "models are loaded and unloaded by moving the registry's alias, not by clients"


def _answers_errors(method: Method[Q, R]) -> Method[Q, R]:
    """Turn a ServingError into its gRPC status, and a defect into INTERNAL with a log entry."""

    @wraps(method)
    async def call(self: Any, request: Q, context: Context) -> R:
        try:
            return await method(self, request, context)
        except ServingError as error:
            code, message = StatusCode[error.grpc_code], error.message
            wait = [(name.decode(), value.decode()) for name, value in error.headers]
            context.set_trailing_metadata((*context.trailing_metadata(), *wait))
        except Exception:  # a defect of ours must not reach the client as UNKNOWN
            logger.exception("a gRPC request failed")
            code, message = StatusCode.INTERNAL, "internal error; see the server's log"
        metrics.REQUESTS.series("grpc", code.name, "").inc()
        await context.abort(code, message)
        raise AssertionError("abort returned")

    return call


class Servicer(InferenceServicer):  # type: ignore[misc]  # kserve ships no types
    """KServe's servicer, right where it is wrong."""

    def __init__(self, predictor: Predictor, limiter: RateLimiter, settings: Settings) -> None:
        """Answers with `predictor`; `limiter` is the one that the routes use."""
        super().__init__(None, None)
        self._predictor = predictor
        self._limiter = limiter
        self._settings = settings
        self._identity = Identity(settings.trusted_proxies)
        self._request_ids = request_ids()

    async def ServerLive(self, request: Any, context: Context) -> Any:  # noqa: ARG002, N802
        """The process is alive."""
        return pb.ServerLiveResponse(live=True)

    async def ServerReady(self, request: Any, context: Context) -> Any:  # noqa: ARG002, N802
        """The model would answer, and the server means to stay."""
        return pb.ServerReadyResponse(ready=self._predictor.usable)

    @_answers_errors
    async def ModelReady(self, request: Any, context: Context) -> Any:  # noqa: ARG002, N802
        """The model, or one version of it, would answer."""
        self._check_name(request.name)
        if self._predictor.usable:
            self._predictor.model(request.version or None)
        return pb.ModelReadyResponse(ready=self._predictor.usable)

    async def ServerMetadata(self, request: Any, context: Context) -> Any:  # noqa: ARG002, N802
        """Name, version and extensions of the server."""
        return pb.ServerMetadataResponse(**metadata.server_metadata())

    @_answers_errors
    async def ModelMetadata(self, request: Any, context: Context) -> Any:  # noqa: N802
        """The model's metadata; the label order travels in the trailing metadata `labels`."""
        self._check_name(request.name)
        if request.version:
            self._predictor.model(request.version)
        content = metadata.model_metadata(request.name, self._predictor.versions)
        labels = content.pop("parameters")["labels"]
        context.set_trailing_metadata((("labels", labels),))
        return pb.ModelMetadataResponse(**content)

    async def RepositoryModelLoad(self, request: Any, context: Context) -> Any:  # noqa: ARG002, N802
        """Not for clients."""
        await context.abort(StatusCode.UNIMPLEMENTED, _MANAGED)

    async def RepositoryModelUnload(self, request: Any, context: Context) -> Any:  # noqa: ARG002, N802
        """Not for clients."""
        await context.abort(StatusCode.UNIMPLEMENTED, _MANAGED)

    @_answers_errors
    async def ModelInfer(self, request: Any, context: Context) -> Any:  # noqa: N802
        """Score the texts of one request."""
        started = time.perf_counter()
        request_id = next(self._request_ids)
        user = await self._allow(request_id, context)
        self._check_name(request.model_name)
        parsed = parse(request, self._settings.max_texts)
        parsed_at = time.perf_counter()
        model = self._predictor.model(request.model_version or None)
        answer = await self._predictor.score(model, parsed.texts, self._deadline(context))
        scored_at = time.perf_counter()
        raw = bool(request.raw_input_contents)
        response = reply(self._predictor.name, request_id, parsed, answer, raw=raw)
        replied_at = time.perf_counter()
        metrics.REQUESTS.series("grpc", "OK", model.version).inc()
        steps = Steps(parsed_at - started, scored_at - parsed_at, replied_at - scored_at)
        self._predictor.answered(answer, parsed.texts, request_id, "grpc", user, steps)
        return response

    def _check_name(self, name: str) -> None:
        if name != self._predictor.name:
            raise NotFound(f"model {name!r}: not known here; known is {self._predictor.name!r}")

    async def _allow(self, request_id: str, context: Context) -> str:
        """Return the user. Raises RateLimited; the allowance goes into the trailing metadata."""
        sent = {key: str(value) for key, value in context.invocation_metadata() or ()}
        peer = peer_address(context.peer())
        user = self._identity.user(peer, sent.get("x-user-id"), sent.get("x-forwarded-for"))
        decision = await self._limiter.hit(user)
        fields = allowance(decision) if decision else ()
        trailing = [("x-request-id", request_id), *((name.decode(), value.decode()) for name, value in fields)]
        context.set_trailing_metadata(trailing)
        if decision is not None and not decision.allowed:
            raise refusal(decision)
        return user

    def _deadline(self, context: Context) -> float:
        limit = self._settings.request_timeout_seconds
        left = context.time_remaining()
        return asyncio.get_running_loop().time() + (limit if left is None else min(limit, left))


def peer_address(peer: str) -> str:
    """Return the address in a gRPC peer such as `ipv4:127.0.0.1:5000` or `ipv6:%5B::1%5D:5000`."""
    kind, _, rest = peer.partition(":")
    host, _, _ = unquote(rest).rpartition(":")
    return host.strip("[]") if kind in ("ipv4", "ipv6") else peer


def parse(request: Any, max_texts: int) -> InferRequest:
    """Return the parsed ModelInferRequest. Raises RequestError or TooLarge."""
    if len(request.inputs) != 1:
        raise RequestError(f'inputs: found {len(request.inputs)} inputs; expected the one input "text"')
    tensor = request.inputs[0]
    check_input(tensor.name, tensor.datatype)
    outputs: dict[str, bool] = {}
    for index, output in enumerate(request.outputs):
        outputs[check_output(output.name, outputs, f"outputs[{index}]")] = False
    texts = _texts(request, tensor, max_texts)
    wanted = tuple(outputs.items()) or tuple((name, False) for name in OUTPUTS)
    return InferRequest(texts, request.id or None, wanted)


def _texts(request: Any, tensor: Any, max_texts: int) -> list[str]:
    shape, raw = list(tensor.shape), request.raw_input_contents
    if not raw:
        return element_texts(shape, list(tensor.contents.bytes_contents), max_texts)
    if len(raw) != 1:
        raise RequestError(f"raw_input_contents: found {len(raw)} tensors; expected one for each input, 1")
    if tensor.HasField("contents"):
        raise RequestError("inputs[0].contents: raw_input_contents is also there; send one of the two")
    return binary_texts(shape, raw[0], max_texts)


def reply(name: str, request_id: str, request: InferRequest, answer: Answer, *, raw: bool) -> Any:
    """Return the ModelInferResponse, its tensors raw where the request's were."""
    response = pb.ModelInferResponse(model_name=name, model_version=answer.model.version, id=request.id or request_id)
    response.parameters["request_id"].string_param = request_id
    if answer.truncated:
        response.parameters["truncated"].int64_param = answer.truncated
    for output, _ in request.outputs:
        datatype, shape = tensor_type(output, len(request.texts))
        tensor = response.outputs.add(name=output, datatype=datatype, shape=shape)
        if raw:
            response.raw_output_contents.append(raw_output(output, answer.verdicts))
        elif output == "label":
            tensor.contents.bytes_contents.extend(LABEL_BYTES[label] for label in answer.verdicts.labels)
        else:
            tensor.contents.fp32_contents.extend(numbers(output, answer.verdicts).ravel().tolist())
    return response
