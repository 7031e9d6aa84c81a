"""OpenTelemetry traces of requests: one span for each request, and one for each of its steps.

Nothing here imports OpenTelemetry until `start` is called. Steps are recorded when they have ended, from the times at
which they began and ended, so that tracing that is off costs a request no more than looking at `tracer`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from serving.errors import ServingError

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, Tracer

_NAME: Final = "review-sentiment"
_PROPAGATED: Final = ("traceparent", "tracestate")
"""The headers of W3C Trace Context."""
_MAX_ID_CHARS: Final = 200

Attributes = Mapping[str, str | int | float | bool]

tracer: Tracer | None = None
"""The tracer, None while tracing is off."""
_provider: TracerProvider | None = None
_context: ContextVar[Context | None] = ContextVar("request_trace", default=None)


def start(endpoint: str) -> None:
    """Send the spans of all further requests by OTLP over HTTP to a collector, such as `http://collector:4318`.

    The other variables of OpenTelemetry (`OTEL_SERVICE_NAME`, `OTEL_TRACES_SAMPLER`, …) hold as its SDK has them.
    """
    global tracer, _provider  # one process has one tracer, as OpenTelemetry itself has
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    own = Resource.create({"service.name": _NAME, "service.version": version(_NAME)})
    _provider = TracerProvider(resource=own.merge(OTELResourceDetector().detect()), shutdown_on_exit=False)
    _provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces")))
    tracer = _provider.get_tracer(_NAME)


def stop() -> None:
    """Send what has not been sent, and turn tracing off. It blocks: call it from a thread."""
    global tracer, _provider
    tracer, provider, _provider = None, _provider, None
    if provider is not None:
        provider.shutdown()


@contextmanager
def request_span(
    name: str, header: Callable[[str], str | None], attributes: Attributes
) -> Iterator[Callable[[Attributes, str], None]]:
    """Trace one request; steps that are recorded inside become its children.

    `header` returns a header by its lower-case name: a `traceparent` makes the span a part of the client's trace. The
    yielded function takes further attributes, and the error of the request, empty if there is none.
    """
    if tracer is None:
        yield lambda _attributes, _error: None
        return
    from opentelemetry.trace import SpanKind, set_span_in_context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier = {key: value for key in _PROPAGATED if (value := header(key))}
    parent = TraceContextTextMapPropagator().extract(carrier) if carrier else None
    span = tracer.start_span(name, parent, SpanKind.SERVER, _with_client_id(attributes, header))
    token = _context.set(set_span_in_context(span))
    try:
        yield lambda more, error: _describe(span, more, error)
    except ServingError as error:
        _describe(span, {"error.type": error.grpc_code}, error.public_message)
        raise
    except BaseException as error:
        _describe(span, {"error.type": type(error).__name__}, "the request was not answered")
        raise
    finally:
        _context.reset(token)
        span.end()


def _with_client_id(attributes: Attributes, header: Callable[[str], str | None]) -> Attributes:
    client_id = header("x-request-id")
    return {**attributes, "sentiment.client_request_id": client_id[:_MAX_ID_CHARS]} if client_id else attributes


def _describe(span: Span, attributes: Attributes, error: str) -> None:
    from opentelemetry.trace import StatusCode

    span.set_attributes(dict(attributes))
    if error:
        span.set_status(StatusCode.ERROR, error)


def step(name: str, started: float, ended: float, attributes: Attributes | None = None) -> None:
    """Record one step of the request that is being traced; both times are those of `time.monotonic`."""
    context = _context.get()
    if tracer is None or context is None:
        return
    offset = time.time_ns() - time.monotonic_ns()
    span = tracer.start_span(name, context, attributes=attributes, start_time=offset + int(started * 1e9))
    span.end(offset + int(ended * 1e9))
