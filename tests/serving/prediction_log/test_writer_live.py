"""The real server's prediction log: under load and killed, on a shared target, without a target, with feedback."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fsspec
import httpx

from feature_checks.bundle import Bundle
from monitoring.windows.log_window import from_log
from tests.support.live_server import LiveServer, live
from tests.support.waiting import until

INFER = "/v2/models/sentiment/infer"
FEEDBACK = "/v1/models/sentiment/feedback"


def infer(client: httpx.Client, texts: list[str]) -> httpx.Response:
    """One V2 request."""
    tensor = {"name": "text", "shape": [len(texts)], "datatype": "BYTES", "data": texts}
    return client.post(INFER, json={"inputs": [tensor]})


class Load:
    """Clients that send two texts at a time and remember which request was answered when."""

    def __init__(self, server: LiveServer) -> None:
        self.answered: list[tuple[float, str]] = []
        self._server = server
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._send, args=(number,)) for number in range(3)]

    def _send(self, number: int) -> None:
        with httpx.Client(base_url=self._server.http, timeout=20) as client:
            count = 0
            while not self._end.is_set():
                count += 1
                try:
                    reply = infer(client, [f"text {number} {count}", f"another {number} {count}"])
                except httpx.TransportError:
                    self._server.process.wait(timeout=10)  # only a killed server breaks off
                    return
                assert reply.status_code == 200, reply.text
                self.answered.append((time.time(), reply.headers["x-request-id"]))

    def due(self, before: float) -> set[str]:
        """The requests answered before a moment; there must be some."""
        requests = {request for moment, request in self.answered if moment < before}
        assert len(requests) > 20
        return requests

    @contextmanager
    def running(self) -> Iterator[None]:
        """Send until the block ends."""
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._end.set()
            for thread in self._threads:
                thread.join()


def logged(target: str) -> list[tuple[str, int]]:
    """Request and item of every line in a log; each must be whole."""
    filesystem, root = fsspec.url_to_fs(target)
    filesystem.invalidate_cache()
    lines = [
        line
        for path in filesystem.glob(f"{root}/date=*/predictions-*.jsonl")
        for line in filesystem.cat_file(path).splitlines()
    ]
    return [(row["request_id"], row["item"]) for row in map(json.loads, lines)]


def check(found: list[tuple[str, int]], due: set[str]) -> None:
    """Every request that is due is there with both texts, and nothing is there twice."""
    assert {(request, item) for request in due for item in (0, 1)} <= set(found)
    assert len(found) == len(set(found))


def test_every_request_answered_a_second_before_kill_9_is_in_the_log_once(tmp_path: Path, tiny_bundle: Bundle) -> None:
    with live(tmp_path, MODEL_URI=str(tiny_bundle.folder)) as server:
        load = Load(server)
        with load.running():
            time.sleep(3)
            killed = time.time()
            server.process.kill()
            server.process.wait()
    check(logged(str(tmp_path / "predictions")), load.due(killed - 1))


def test_a_lost_server_leaves_what_it_uploaded_and_its_neighbours_rows(
    tmp_path: Path, tiny_bundle: Bundle, bucket: str
) -> None:
    variables: dict[str, Any] = {
        "MODEL_URI": str(tiny_bundle.folder),
        "PREDICTION_LOG": bucket,
        "LOG_SEGMENT_SECONDS": "0.5",
    }
    with live(tmp_path / "lost", **variables) as lost, live(tmp_path / "kept", **variables) as kept:
        loads = [Load(lost), Load(kept)]
        with loads[0].running(), loads[1].running():
            time.sleep(2)
            until(lambda: logged(bucket))
            time.sleep(2)
            killed = time.time()
            lost.process.kill()
            lost.process.wait()
            shutil.rmtree(tmp_path / "lost" / "spool")
            uploaded = set(logged(bucket))
            time.sleep(1)
        assert kept.stop() == 0
    found = logged(bucket)
    check(found, loads[1].due(time.time()))
    assert uploaded <= set(found)
    assert {request for request, _ in found} & loads[0].due(killed)


def test_a_log_that_cannot_be_written_costs_no_request_and_is_counted(tmp_path: Path, tiny_bundle: Bundle) -> None:
    blocked = tmp_path / "a file, not a folder"
    blocked.touch()
    with live(tmp_path, MODEL_URI=str(tiny_bundle.folder), PREDICTION_LOG=str(blocked)) as server:
        with httpx.Client(base_url=server.http, timeout=20) as client:
            assert [infer(client, ["good"]).status_code for _ in range(20)] == [200] * 20
            counted = 'sentiment_dropped_log_lines_total{reason="write_failed"} 20.0'
            until(lambda: counted in client.get("/metrics").text)
        assert server.stop() == 0
        assert "prediction log: lines are dropped (write_failed)" in server.output()


def test_labels_come_back_with_their_predictions_and_no_text_is_on_disk(tmp_path: Path, tiny_bundle: Bundle) -> None:
    variables: dict[str, Any] = {"MODEL_URI": str(tiny_bundle.folder), "FEEDBACK": "on", "LOG_TEXT": "hash"}
    with live(tmp_path, **variables) as server:
        with httpx.Client(base_url=server.http, timeout=20) as client:
            headers = {"X-User-Id": "anna-banana"}
            client.headers.update(headers)
            request = infer(client, ["unmistakable gramophone", "fine"]).headers["x-request-id"]
            label: dict[str, Any] = {"request_id": request, "item": 1, "label": "negative"}
            assert client.post(FEEDBACK, json=label).json() == label
            refused = client.post(FEEDBACK, json=label | {"label": "bad"})
            assert refused.status_code == 400
            assert "expected one of" in refused.json()["error"]
        assert server.stop() == 0
    window = from_log(str(tmp_path / "predictions"), max_rows=10, end=datetime.now(UTC), hours=1)
    assert window.total_rows == 2
    assert window.labelled["true_label"].tolist() == ["negative"]
    assert "text" not in window.frame.columns
    everything = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"gramophone" not in everything
    assert b"anna-banana" not in everything


def test_feedback_is_off_unless_asked_for(server: LiveServer) -> None:
    reply = httpx.post(server.http + FEEDBACK, json={"request_id": "a", "label": "neutral"})
    assert reply.status_code == 404
    assert "FEEDBACK=on" in reply.json()["error"]
