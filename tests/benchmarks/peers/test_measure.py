"""The comparison of answers finds planted differences, and the table says what ran and what did not."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from feature_checks.contract import LABELS
from tests.benchmarks.load import filled, requests_of
from tests.benchmarks.peers import catalogue
from tests.benchmarks.peers.environments import PeerUnavailable
from tests.benchmarks.peers.measure import Measured, answers, calibrated, compared, table
from tests.benchmarks.scenarios import Bench
from tests.benchmarks.servers import Server

TEXTS = ["Fine.", "It broke."]
OURS = [
    {"negative": 0.1, "neutral": 0.2, "positive": 0.7},
    {"negative": 0.36, "neutral": 0.34, "positive": 0.3},
]


def planted(**probabilities: float) -> list[dict[str, float]]:
    return [OURS[0], OURS[1] | probabilities]


def test_equal_answers_are_equal() -> None:
    assert compared(TEXTS, OURS, planted(negative=0.35, neutral=0.345)) == []


def test_a_probability_that_differs_is_reported_with_its_text() -> None:
    (difference,) = compared(TEXTS, OURS, planted(negative=0.39, positive=0.27))
    assert "'It broke.'" in difference
    assert "0.39" in difference
    assert "0.36" in difference


def test_another_label_is_reported_although_the_probabilities_are_near() -> None:
    assert len(compared(TEXTS, OURS, planted(negative=0.345, neutral=0.355))) == 1


def test_a_missing_answer_is_an_error() -> None:
    with pytest.raises(ValueError, match="shorter"):
        compared(TEXTS, OURS, OURS[:1])


def test_calibrated_is_the_softmax_of_the_divided_logits() -> None:
    logits, temperature = np.array([0.3, -1.2, 2.0]), 1.7

    def softmax(values: Any) -> dict[str, float]:
        exponentials = np.exp(values)
        return dict(zip(LABELS, (exponentials / exponentials.sum()).tolist(), strict=True))

    assert calibrated(softmax(logits), temperature) == pytest.approx(softmax(logits / temperature))


REPLIES = {
    "MLServer": {
        "outputs": [
            {"name": "label", "shape": [1, 1], "datatype": "BYTES", "data": ["positive"]},
            {"name": "probabilities", "shape": [1, 3], "datatype": "FP32", "data": [0.1, 0.2, 0.7]},
        ]
    },
    "BentoML": [{"label": "positive", "confidence": 0.7, "probabilities": OURS[0]}],
    "LitServe": {"label": "positive", "confidence": 0.7, "probabilities": OURS[0]},
    "infinity": {
        "data": [
            [
                {"label": "positive", "score": 0.7},
                {"label": "neutral", "score": 0.2},
                {"label": "negative", "score": 0.1},
            ]
        ]
    },
}
"""An answer to one text as each server writes it."""


@contextmanager
def server(reply: Any) -> Iterator[tuple[Server, list[Any]]]:
    """Yield a server that answers every request so, and the bodies that it has received."""
    received: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            body = json.dumps(reply).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield Server(http.server_port, 0, 0), received
        http.shutdown()
        thread.join()


@pytest.mark.parametrize("peer", catalogue.PEERS, ids=lambda peer: peer.name)
def test_answers_are_read_as_each_server_writes_them(peer: catalogue.Peer) -> None:
    with server(REPLIES[peer.name]) as (running, received):
        found = answers(running, peer.wire, TEXTS, temperature=1)
    assert found == [pytest.approx(OURS[0])] * 2
    assert sorted(json.dumps(body) for body in received) == sorted(
        json.dumps(filled(peer.wire.body, [text])) for text in TEXTS
    )


def test_a_body_is_filled_with_the_texts_and_their_number() -> None:
    body = {"inputs": [{"shape": ["$count"], "data": "$texts", "name": "text"}], "first": "$text"}
    assert filled(body, TEXTS) == {"inputs": [{"shape": [2], "data": TEXTS, "name": "text"}], "first": "Fine."}


def test_requests_are_v1_unless_told_otherwise(tmp_path: Path) -> None:
    file = tmp_path / "texts.json"
    file.write_text(json.dumps(TEXTS), encoding="utf-8")
    spec = {"path": "/p", "texts": str(file)}
    assert next(requests_of(spec)).endswith(b'{"instances": ["Fine."]}')
    assert next(requests_of(spec | {"body": {"text": "$text"}})).endswith(b'{"text": "Fine."}')


def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    code = "print('loading'); raise SystemExit('no such engine: optimum')"
    peer = replace(catalogue.PEERS[0], command=lambda programs, *_: [str(programs / "python"), "-c", code])
    with (tmp_path / "log").open("w") as log:
        bench = Bench(tmp_path, tmp_path, tmp_path, 1, 0, log)
        starting = catalogue.served(peer, Path(sys.executable).parent, bench, tmp_path / "peer.log")
        with pytest.raises(PeerUnavailable, match="it did not start: no such engine: optimum"), starting:
            pass


def result(**changes: Any) -> dict[str, Any]:
    base = {"per_second": 1234.5, "p50_ms": 5.25, "p95_ms": 40.4, "server_cpu_ms": 1.5, "statuses": {"200": 100}}
    return base | changes


def test_the_table_has_a_row_for_each_server_and_the_reason_of_what_did_not_run() -> None:
    loads = {key: result() for key in ("1", "32", "64")}
    refused = loads | {"64": result(statuses={"200": 75, "503": 25}), "many": result(statuses={"200": 9}, seconds=6.0)}
    measured = Measured({"LitServe": loads, "BentoML": refused}, {"infinity": "the installation failed: no wheel"})
    rows = table(measured).splitlines()
    assert rows[2] == "| LitServe | 5.25, 40.4 | 1,234, 40 | 1,234, 40 | 1.5 | one text a request |"
    assert rows[3] == "| BentoML | 5.25, 40.4 | 1,234, 40 | 1,234, 40 (25.0 % without an answer) | 1.5 | 1,500 |"
    assert rows[4] == "| infinity | not run: the installation failed: no wheel |" + "  |" * 4
    assert {row.count("|") for row in rows} == {7}
