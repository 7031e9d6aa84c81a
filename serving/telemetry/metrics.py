"""Every Prometheus metric of the predictor except KServe's own (`request_*_seconds`).

No label holds a user or a text: the values of every label are few and known in advance. Times are in seconds.
"""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from feature_checks.contract import LABELS
from serving.telemetry.loop_metrics import LoopCounter, LoopHistogram

_FAST: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_BATCH_SIZES: Final = (1, 2, 4, 8, 12, 16, 24, 32, 64)
_PROBABILITIES: Final = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)

REQUESTS: Final = LoopCounter("sentiment_requests_total", "Requests answered", ["protocol", "status", "model_version"])
REQUEST_SECONDS: Final = LoopHistogram(
    "sentiment_request_seconds", "Time from the request's last byte to its answer", ["protocol"], _FAST
)
MODEL_INFO: Final = Gauge("sentiment_model_info", "1 for the served version", ["model_version", "digest", "arithmetic"])
MODEL_CREATED: Final = Gauge(
    "sentiment_model_created_timestamp_seconds", "Unix time at which the served version's bundle was exported"
)
READY: Final = Gauge("sentiment_ready", "1 while the predictor is ready")
REFUSED_BUNDLES: Final = Counter("sentiment_refused_bundles_total", "Bundles that were refused", ["reason"])

QUEUED_TEXTS: Final = Gauge("sentiment_queued_texts", "Texts waiting for a batch")
QUEUE_WAIT_ESTIMATE: Final = Gauge("sentiment_queue_wait_estimate_seconds", "Estimated wait of a text arriving now")
OVERLOADED: Final = Counter("sentiment_overloaded_total", "Requests refused because the queue was full")
DROPPED: Final = Counter(
    "sentiment_dropped_requests_total", "Accepted requests that ended before inference", ["reason"]
)
BATCH_TEXTS: Final = Histogram("sentiment_batch_texts", "Texts in a batch", buckets=_BATCH_SIZES)
BATCH_PADDING: Final = Counter("sentiment_padding_tokens_total", "Padding tokens that the engine computed")
BATCH_TOKENS: Final = Counter("sentiment_tokens_total", "Tokens of texts that the engine computed")
TOKENISE_SECONDS: Final = LoopHistogram("sentiment_tokenise_seconds", "Tokenising one request", [], _FAST)
QUEUE_SECONDS: Final = Histogram("sentiment_queue_seconds", "From queueing to the batch's start", buckets=_FAST)
INFERENCE_SECONDS: Final = Histogram("sentiment_inference_seconds", "Inference of one batch", buckets=_FAST)
ENGINE_FAILURES: Final = Counter("sentiment_engine_failures_total", "Batches that failed in the engine")
WORKERS: Final = Gauge("sentiment_engine_workers", "Engine workers that are alive")
TRUNCATED_TEXTS: Final = Counter("sentiment_truncated_texts_total", "Texts whose end was left out on request")
LANGUAGES: Final = Counter(
    "sentiment_sampled_languages_total",
    "Sampled texts by their language: supported, unsupported (the model was not trained for it) or undetermined",
    ["language"],
)
LONG_TEXTS: Final = Counter("sentiment_long_texts_total", "Texts that were read in windows")
WINDOWS: Final = Counter("sentiment_windows_total", "Windows of texts that were read in windows")

CACHE_LOOKUPS: Final = LoopCounter(
    "sentiment_cache_lookups_total",
    "Texts looked up, by where the answer came from: memory, redis, in_flight (another request's), miss",
    ["tier"],
)
REDIS_FAILURES: Final = Counter("sentiment_redis_failures_total", "Redis calls that failed or timed out", ["use"])
REDIS_BREAKER_OPEN: Final = Gauge("sentiment_redis_breaker_open", "1 while Redis is left alone", ["use"])
RATE_LIMIT_DECISIONS: Final = LoopCounter(
    "sentiment_rate_limit_decisions_total", "Limiter decisions", ["decision", "source"]
)

PREDICTIONS: Final = LoopCounter("sentiment_predictions_total", "Texts answered, by label", ["label"])
CONFIDENCE: Final = LoopHistogram("sentiment_confidence", "Probability of the answered label", [], _PROBABILITIES)
LOG_LINES: Final = Counter("sentiment_log_lines_total", "Prediction-log lines written", ["kind"])
LOG_UPLOADS: Final = Counter("sentiment_log_uploads_total", "Uploads of log segments", ["outcome"])
DROPPED_LOG_LINES: Final = Counter(
    "sentiment_dropped_log_lines_total", "Prediction-log lines that were not written", ["reason"]
)
ENGINE_HANGS: Final = Counter("sentiment_engine_hangs_total", "Engine calls that were given up because they hung")
REGISTRY_UP: Final = Gauge("sentiment_registry_up", "1 while the last look-up of MODEL_URI in the registry succeeded")
REGISTRY_FAILURES: Final = Counter("sentiment_registry_failures_total", "Registry look-ups and downloads that failed")
API_KEY_FAILURES: Final = Counter(
    "sentiment_api_key_file_failures_total", "Changes of API_KEYS_FILE that could not be used"
)

PREDICTIONS_BY_LABEL: Final = tuple(PREDICTIONS.series(label) for label in LABELS)
"""The series of PREDICTIONS in contract order, because indexing is cheaper than a look-up by name."""
