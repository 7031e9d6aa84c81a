"""The measurements taken of every answered request: KServe's own histograms and ours."""

from __future__ import annotations

from typing import Final, NamedTuple

from kserve.metrics import POST_HIST_TIME, PRE_HIST_TIME, PREDICT_HIST_TIME
from prometheus_client import REGISTRY, Histogram

from serving.protocol.common import Prediction
from serving.telemetry import metrics
from serving.telemetry.loop_metrics import LoopHistogram


class Steps(NamedTuple):
    """The seconds that each of a request's three steps took, counted from the arrival of its last byte."""

    parse: float
    score: float
    reply: float


def _in_place_of(histogram: Histogram) -> LoopHistogram:
    """Replace one of KServe's histograms by one with the same name, label and buckets at a tenth of the cost."""
    (family,) = histogram.describe()
    REGISTRY.unregister(histogram)
    return LoopHistogram(family.name, family.documentation, ["model_name"], Histogram.DEFAULT_BUCKETS[:-1])


_PREPROCESS: Final = _in_place_of(PRE_HIST_TIME)
_PREDICT: Final = _in_place_of(PREDICT_HIST_TIME)
_POSTPROCESS: Final = _in_place_of(POST_HIST_TIME)


class Telemetry:
    """Updates the metrics of one model's answered requests. Only the event loop may call it."""

    def __init__(self, model_name: str) -> None:
        """Label KServe's histograms with `model_name`."""
        self._preprocess = _PREPROCESS.series(model_name)
        self._predict = _PREDICT.series(model_name)
        self._postprocess = _POSTPROCESS.series(model_name)
        self._request = {name: metrics.REQUEST_SECONDS.series(name) for name in ("v1", "v2", "grpc")}
        self._confidence = metrics.CONFIDENCE.series()

    def record(self, protocol: str, steps: Steps, prediction: Prediction) -> None:
        """Update the metrics with one answered request."""
        self._preprocess.observe(steps.parse)
        self._predict.observe(steps.score)
        self._postprocess.observe(steps.reply)
        self._request[protocol].observe(sum(steps))
        for label in set(prediction.labels):
            metrics.PREDICTIONS_BY_LABEL[label].inc(prediction.labels.count(label))
        self._confidence.extend(prediction.confidence)
        if prediction.truncated:
            metrics.TRUNCATED_TEXTS.inc(prediction.truncated)
