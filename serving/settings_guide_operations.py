"""The guide of the settings for operations: KServe's conventions, access, accepted errors, tracing, the sample."""

from __future__ import annotations

from typing import Final

from serving.settings_guide import Guide

OPERATIONS_GUIDE: Final = {
    "api_keys_file": Guide(
        "Users",
        "The file of API keys, made by `review-sentiment api-key`; requests without a valid key get 401. The file is "
        "read again when it changes. Without it, everybody may send requests.",
        "Set it where no gateway in front of the server authenticates clients.",
    ),
    "default_max_error": Guide(
        "Decisions",
        "The share of wrong answers, such as `0.1`, that the output `decision` accepts where a request names no "
        "`max_error`; without it, only texts in other languages are `unsure`.",
        "Set it where `decision` goes into reports or acts without a person who looks at it.",
    ),
    "log_sample": Guide(
        "Observability",
        "The share of the answered requests that leave one line in the server's log, at most 20 a second. Every failed "
        "request leaves one in any case.",
        "Raise it to see more of the traffic; `0` turns it off.",
    ),
    "otel_exporter_otlp_endpoint": Guide(
        "Observability",
        "The OpenTelemetry collector that gets traces by OTLP over HTTP, such as `http://collector:4318`; without it, "
        "requests are not traced. It needs the packages of the extra `tracing`, which the serving image has.",
        "Set it to see the steps of single requests beside those of other services.",
    ),
    "model_dir": Guide(
        "KServe",
        "The folder in which KServe mounts a model. If `MODEL_URI` is not set and this folder holds a bundle, or a "
        "folder `bundle`, that bundle is served.",
        "Change it if the storage initializer mounts the model elsewhere.",
    ),
    "ce_merge": Guide(
        "KServe",
        "`true` repeats the attributes of a CloudEvents request in its reply, except `id` and `time`.",
        "Turn it on if the receiver of the replies routes them by the attributes of the request.",
    ),
    "ce_type": Guide(
        "KServe",
        "The attribute `type` of CloudEvents replies.",
        "Change it to the type that the triggers of your broker expect.",
    ),
    "ce_source": Guide(
        "KServe",
        "The attribute `source` of CloudEvents replies; the default is `io.kserve.inference.` and the model's name.",
        "Change it to tell several predictors of the same name apart.",
    ),
}
"""The guide of the fields of `Settings` that `serving.settings_guide` does not have."""
