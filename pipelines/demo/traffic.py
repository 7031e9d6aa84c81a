"""Requests to the running predictor: scoring, replaying a domain, sending labels."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final

import httpx
import pandas as pd

from feature_checks import scores
from feature_checks.contract import LABEL, TEXT
from feature_checks.state import state_dir
from pipelines.display.screen import Screen, Step
from pipelines.predictor_process import PredictorProcess, model_name

BATCH: Final = 100
"""Texts of a request where many are sent."""
ANNOTATORS: Final = 10
"""People who label. Monitoring takes a limited number of labels from each, and compares them with one another."""

Key = tuple[str, int]
"""A prediction's key in the log: the request id, and the text's index in that request."""


def measure(predictor: PredictorProcess, rows: pd.DataFrame, screen: Screen, step: Step) -> dict[str, Any]:
    """Score each text in a V2 request of its own; return latencies in milliseconds and the share of right labels."""
    latencies, labels = [], []
    with httpx.Client(base_url=predictor.url, timeout=10) as client:
        for number, text in enumerate(rows[TEXT]):
            start = time.perf_counter()
            labels.append(predictor.infer(client, text))
            latencies.append(1000 * (time.perf_counter() - start))
            step.fraction = number / len(rows)
            screen.update(step)
    return {
        "p50_ms": round(statistics.median(latencies), 2),
        "p95_ms": round(statistics.quantiles(latencies, n=20)[18], 2),
        "requests": len(latencies),
        "accuracy": round(sum(a == b for a, b in zip(labels, rows[LABEL], strict=True)) / len(labels), 4),
    }


def replay(client: httpx.Client, rows: pd.DataFrame) -> list[Key]:
    """Send the texts over V1; return the key of each prediction."""
    keys = []
    for batch in _batches(rows[TEXT].tolist()):
        reply = _predict(client, batch)
        keys += [(reply.headers["X-Request-Id"], item) for item in range(len(batch))]
    wait_for_log()
    return keys


def send_labels(client: httpx.Client, keys: Sequence[Key], rows: pd.DataFrame) -> None:
    """Send the true labels of texts that were scored, as a team of ANNOTATORS people would."""
    for number, ((request_id, item), truth) in enumerate(zip(keys, rows[LABEL], strict=True)):
        body = {"request_id": request_id, "item": item, "label": truth}
        user = {"X-User-Id": f"annotator-{number % ANNOTATORS}"}
        client.post(f"/v1/models/{model_name()}/feedback", json=body, headers=user).raise_for_status()
    wait_for_log()


def served_macro_f1(client: httpx.Client, rows: pd.DataFrame) -> float:
    """Return the macro-F1 of the model that is served now."""
    predicted: list[str] = []
    for batch in _batches(rows[TEXT].tolist()):
        predicted += [prediction["label"] for prediction in _predict(client, batch).json()["predictions"]]
    return round(scores.macro_f1(scores.class_indices(rows[LABEL].tolist()), scores.class_indices(predicted)), 4)


def prediction_log() -> str:
    """Return where the predictor logs (environment: PREDICTION_LOG, default in the state folder)."""
    return os.environ.get("PREDICTION_LOG") or str(state_dir() / "predictions")


def wait_for_log() -> None:
    """Wait until the log has what was answered: a folder within 0.1 s, a URL after segment, poll and upload."""
    time.sleep(5 if "://" in prediction_log() else 1)


def _predict(client: httpx.Client, texts: Sequence[str]) -> httpx.Response:
    return client.post(f"/v1/models/{model_name()}:predict", json={"instances": list(texts)}).raise_for_status()


def _batches(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(texts), BATCH):
        yield texts[start : start + BATCH]
