"""What is measured of every answered request: KServe's own histograms, and ours."""

from __future__ import annotations

from typing import Final, NamedTuple

from kserve.metrics import POST_HIST_TIME, PRE_HIST_TIME, PREDICT_HIST_TIME
from prometheus_client import REGISTRY, Histogram

from serving import metrics
from serving.loop_metrics import LoopHistogram
from serving.protocol import Verdicts


class Steps(NamedTuple):
    """Seconds of a request's three steps, from its last byte on."""

    parse: float
    score: float
    reply: float


def _in_place_of(histogram: Histogram) -> LoopHistogram:
    """Take over one of KServe's histograms, its name, label and buckets, at a tenth of its cost."""
    (family,) = histogram.describe()
    REGISTRY.unregister(histogram)
    return LoopHistogram(family.name, family.documentation, ["model_name"], Histogram.DEFAULT_BUCKETS[:-1])


_PREPROCESS: Final = _in_place_of(PRE_HIST_TIME)
_PREDICT: Final = _in_place_of(PREDICT_HIST_TIME)
_POSTPROCESS: Final = _in_place_of(POST_HIST_TIME)


class Telemetry:
    """Feeds the metrics of one model's answers. Belongs to the event loop."""

    def __init__(self, model_name: str) -> None:
        """`model_name` labels KServe's histograms."""
        self._preprocess = _PREPROCESS.series(model_name)
        self._predict = _PREDICT.series(model_name)
        self._postprocess = _POSTPROCESS.series(model_name)
        self._request = {name: metrics.REQUEST_SECONDS.series(name) for name in ("v1", "v2", "grpc")}
        self._confidence = metrics.CONFIDENCE.series()

    def answered(self, protocol: str, steps: Steps, verdicts: Verdicts, truncated: int) -> None:
        """Take one answered request in; `truncated` of its texts were cut."""
        self._preprocess.observe(steps.parse)
        self._predict.observe(steps.score)
        self._postprocess.observe(steps.reply)
        self._request[protocol].observe(sum(steps))
        for label, counter in enumerate(metrics.PREDICTIONS_BY_LABEL):
            if count := verdicts.labels.count(label):
                counter.inc(count)
        self._confidence.extend(verdicts.confidence)
        if truncated:
            metrics.TRUNCATED_TEXTS.inc(truncated)
