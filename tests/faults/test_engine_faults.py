"""An engine that raises, returns NaN or hangs: what callers see, and that the server heals."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from feature_checks.prediction_record import PREDICTIONS
from tests.benchmarks.servers import Server
from tests.faults.live import ask, fake_server, metric, recovery, status

_HANG_SECONDS = 1.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("engine")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    with fake_server(folder, ENGINE_TIMEOUT_SECONDS=str(_HANG_SECONDS)) as made:
        yield made


@pytest.mark.parametrize("fault", ["raise", "nan"])
def test_a_batch_that_fails_is_500_and_the_next_is_answered(server: Server, folder: Path, fault: str) -> None:
    file = folder / "state" / "engine"
    assert ask(server) == 200
    before = metric(server, "sentiment_engine_failures_total")
    file.write_text(fault, encoding="ascii")
    assert [ask(server) for _ in range(5)] == [500] * 5
    assert metric(server, "sentiment_engine_failures_total") == before + 5
    assert status(server, "/v2/health/ready") == status(server, "/v2/health/live") == 200
    file.unlink()
    assert recovery(lambda: ask(server) == 200, 2) < 1


def test_a_hung_engine_is_503_not_ready_and_heals(server: Server, folder: Path) -> None:
    file = folder / "state" / "engine"
    before = metric(server, "sentiment_engine_hangs_total")
    file.write_text("hang", encoding="ascii")
    began = time.monotonic()
    assert ask(server) == 503
    assert time.monotonic() - began < _HANG_SECONDS + 2
    assert metric(server, "sentiment_engine_hangs_total") >= before + 1
    assert status(server, "/v2/health/ready") == 503
    assert status(server, "/v2/health/live") == 200
    file.unlink()
    assert recovery(lambda: status(server, "/v2/health/ready") == 200, 15) < 12
    assert ask(server) == 200


def test_a_server_whose_engine_hangs_ends_and_keeps_its_log(tmp_path: Path) -> None:
    with fake_server(tmp_path, DRAIN_SECONDS="2", LOG_TEXT="drop") as server:
        assert [ask(server) for _ in range(20)] == [200] * 20
        (tmp_path / "state" / "engine").write_text("hang", encoding="ascii")
        hanging = threading.Thread(target=ask, args=(server,))
        hanging.start()
        time.sleep(0.3)
        server.send(signal.SIGTERM)
        seconds = recovery(lambda: not server.alive, 20)
        hanging.join()
        (tmp_path / "state" / "engine").unlink()
    segments = (tmp_path / "state" / "predictions").rglob(f"{PREDICTIONS}-*")
    assert sum(len(path.read_bytes().splitlines()) for path in segments) == 20
    assert seconds < 15
