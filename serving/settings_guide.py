"""What every setting means and when to change it, for the documentation and the README's table."""

from __future__ import annotations

from typing import Final, NamedTuple


class Guide(NamedTuple):
    """What a reader needs to know about one setting."""

    group: str
    """The heading under which the documentation lists the setting."""
    description: str
    """What the setting means, as a full sentence."""
    when: str
    """When to change it, as a full sentence."""


GUIDE: Final = {
    "state_dir": Guide(
        "Model",
        "The folder of all local state: bundle cache, spool and log.",
        "Change it to keep the state on a mounted volume.",
    ),
    "model_name": Guide(
        "Model",
        "The model's name in paths and replies.",
        "Change it when clients or an InferenceService use another name.",
    ),
    "model_uri": Guide(
        "Model",
        "The model to serve: an MLflow alias (`models:/name@alias`), a version (`models:/name/3`) or a bundle folder.",
        "Change it to serve one fixed version, another alias, or a bundle without a registry.",
    ),
    "mlflow_tracking_uri": Guide(
        "Model",
        "The MLflow registry: `http(s)://…` or `sqlite:///…`.",
        "Set it wherever the registry is not the local SQLite file.",
    ),
    "mlflow_tracking_username": Guide(
        "Model",
        "The user name for the MLflow server.",
        "Set it if the MLflow server asks for a user name and a password.",
    ),
    "mlflow_tracking_password": Guide(
        "Model",
        "The password for the MLflow server.",
        "Set it together with `MLFLOW_TRACKING_USERNAME`.",
    ),
    "mlflow_tracking_token": Guide(
        "Model",
        "The bearer token for the MLflow server.",
        "Set it if the MLflow server asks for a token.",
    ),
    "alias_poll_seconds": Guide(
        "Model",
        "The number of seconds between two look-ups of the alias.",
        "Lower it to serve a new champion sooner; raise it to spare the registry.",
    ),
    "keep_bundles": Guide(
        "Model",
        "The number of bundles that stay on disk, including the served one.",
        "Raise it to roll back further without downloads; lower it where the disk is small.",
    ),
    "http_port": Guide(
        "Server",
        "The REST port.",
        "Change it when another process uses the port.",
    ),
    "grpc_port": Guide(
        "Server",
        "The gRPC port.",
        "Change it when another process uses the port.",
    ),
    "grace_seconds": Guide(
        "Server",
        "After SIGTERM, the number of seconds for which requests are still accepted while readiness is off.",
        "Raise it if the load balancer takes longer to notice that a pod is not ready.",
    ),
    "drain_seconds": Guide(
        "Server",
        "After the grace period, the longest wait for accepted requests, in seconds.",
        "Raise it if requests take longer; keep the sum below the pod's termination grace period.",
    ),
    "redis_url": Guide(
        "Redis",
        "The Redis that replicas share for cache and rate limit; without it each replica has its own.",
        "Set it as soon as there is more than one replica.",
    ),
    "rate_limit_redis_url": Guide(
        "Redis",
        "The Redis of the rate limiter; the default is `REDIS_URL`.",
        "Set it if the cache's Redis evicts keys, because the limiter's must not.",
    ),
    "redis_timeout_seconds": Guide(
        "Redis",
        "A Redis call that takes longer than this, in seconds, counts as failed.",
        "Raise it if Redis is in another zone.",
    ),
    "cache": Guide(
        "Cache",
        "`off` disables the caching of predictions.",
        "Turn it off to measure inference, or if texts never repeat.",
    ),
    "cache_entries": Guide(
        "Cache",
        "The number of predictions kept in memory.",
        "Raise it if memory is free and texts repeat; an entry takes about 200 bytes.",
    ),
    "cache_ttl_seconds": Guide(
        "Cache",
        "The number of seconds for which a prediction is kept.",
        "Raise it to save inference; a new model version never sees old predictions.",
    ),
    "rate_limit": Guide(
        "Users",
        "The allowance of each user; several such as `1000/hour;5/second` must all hold; `off` disables the limit.",
        "Adapt it to what one user may cost.",
    ),
    "trusted_proxies": Guide(
        "Users",
        "The peers whose `X-User-Id` and `X-Forwarded-For` count: networks or addresses separated by "
        "commas, `loopback` or `none`.",
        "Set it to the networks of the gateways and proxy pods in front of the server.",
    ),
    "prediction_log": Guide(
        "Prediction log",
        "The folder or fsspec URL of the prediction log; `off` disables it.",
        "Set it to object storage wherever pods lose their disk.",
    ),
    "log_text": Guide(
        "Prediction log",
        "What the prediction log stores of a review text: `keep` the text, `hash` it or `drop` it.",
        "Change it where reviews may hold personal data.",
    ),
    "feedback": Guide(
        "Prediction log",
        "`on` accepts labels for logged predictions.",
        "Turn it on where clients may correct predictions.",
    ),
    "log_hash_key": Guide(
        "Prediction log",
        "The key of the hashes in the log; without it a key is created once and kept in `STATE_DIR`.",
        "Set it so that the hashes of several replicas are comparable.",
    ),
    "log_queue_lines": Guide(
        "Prediction log",
        "The most log lines that wait to be written; further ones are dropped and counted.",
        "Raise it if `sentiment_dropped_log_lines_total` grows and memory is free.",
    ),
    "log_queue_bytes": Guide(
        "Prediction log",
        "The most bytes of log lines that wait to be written; further lines are dropped and counted.",
        "Raise it if long texts are logged, lines are dropped and memory is free.",
    ),
    "log_segment_seconds": Guide(
        "Prediction log",
        "The age in seconds at which a log segment is closed and uploaded, if the log is a URL.",
        "Lower it to lose less with a pod; raise it for fewer and larger files.",
    ),
    "log_spool_bytes": Guide(
        "Prediction log",
        "The most bytes that wait to be uploaded; further log lines are dropped and counted.",
        "Adapt it to the disk of the pod.",
    ),
    "max_texts": Guide(
        "Request limits",
        "The most texts in one request.",
        "Lower it if large requests delay small ones.",
    ),
    "max_body_bytes": Guide(
        "Request limits",
        "The largest request body in bytes, after decompression.",
        "Lower it where no client sends large requests.",
    ),
    "max_bodies_bytes": Guide(
        "Request limits",
        "The most bytes of bodies and decoded texts that the server holds at the same time, over REST and gRPC "
        "together; further requests are refused.",
        "Lower it where the memory limit of the pod is small.",
    ),
    "request_timeout_seconds": Guide(
        "Request limits",
        "The deadline of a request in seconds; after it the reply is 504.",
        "Adapt it to the time-out of the clients and gateways.",
    ),
    "engine_threads": Guide(
        "Inference",
        "The number of inference threads, one core each; the default is the cores of the CPU quota.",
        "Lower it to leave cores to other processes.",
    ),
    "batch_texts": Guide(
        "Inference",
        "The most texts in one inference batch.",
        "Change it only after a measurement on your processor.",
    ),
    "batch_tokens": Guide(
        "Inference",
        "The most tokens in one inference batch, including padding.",
        "Change it only after a measurement on your processor.",
    ),
    "queue_seconds": Guide(
        "Inference",
        "The estimated wait in seconds above which a request is refused with 503.",
        "Raise it to refuse less and wait longer under load.",
    ),
    "queue_texts": Guide(
        "Inference",
        "The most texts that wait for inference; further requests are refused with 503.",
        "Raise it if clients send large batches at the same time.",
    ),
    "queue_tokens": Guide(
        "Inference",
        "The most tokens of waiting texts, about 40 bytes each; further requests are refused with 503.",
        "Lower it where memory is scarce.",
    ),
    "engine_timeout_seconds": Guide(
        "Inference",
        "The seconds after which a batch counts as hung: its requests get 503 and its thread is replaced.",
        "Raise it only if one batch of your model may take longer.",
    ),
    "max_connections": Guide(
        "Connections",
        "The most open REST connections; a further one is closed with 503.",
        "Raise it if more clients keep connections open and the limit of open files allows it.",
    ),
    "header_timeout_seconds": Guide(
        "Connections",
        "The number of seconds in which the headers of a request must arrive, from its first byte or from"
        " the start of the connection.",
        "Raise it for clients on very slow networks.",
    ),
    "keep_alive_seconds": Guide(
        "Connections",
        "An idle connection is closed after this many seconds.",
        "Keep it above the idle time-out of the load balancer in front of the server.",
    ),
    "write_timeout_seconds": Guide(
        "Connections",
        "A connection whose client reads nothing of its reply for this many seconds is dropped.",
        "Raise it for clients on very slow networks.",
    ),
    "max_connection_age_seconds": Guide(
        "Connections",
        "The age at which a gRPC connection is closed in an orderly way; without it connections live on.",
        "Set it so that clients behind a load balancer spread over new replicas.",
    ),
}
"""The guide of each field of `Settings`."""
