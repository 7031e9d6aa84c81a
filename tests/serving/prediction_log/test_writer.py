"""The prediction log: what is written, what survives, and that nothing ever blocks a request."""

from __future__ import annotations

import asyncio
import dataclasses
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from s3fs import S3FileSystem

from feature_checks.prediction_record import HASH_PREFIX, FeedbackRecord, PredictionRecord
from serving.prediction_log.lines import AnsweredRequest
from serving.prediction_log.writer import PredictionLog, hash_key
from serving.settings import Settings
from serving.telemetry.metrics import DROPPED_LOG_LINES, LOG_UPLOADS

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC).timestamp()
PROBABILITIES = np.array([[0.7, 0.2, 0.1], [0.1, 0.2, 0.7]], dtype=np.float32)


def answered(
    request_id: str = "r1", texts: tuple[str, ...] = ("awful phone!", "good"), user: str = "anna"
) -> AnsweredRequest:
    rows = np.resize(PROBABILITIES, (len(texts), 3))
    return AnsweredRequest(request_id, NOON, texts, rows, [False] * len(texts), "7", 0.0042, "v2", user)


def settings(tmp_path: Path, target: str | None = None, **values: Any) -> Settings:
    return Settings(state_dir=tmp_path, prediction_log=target or str(tmp_path / "log"), **values)


def read(folder: Path, kind: str = "predictions") -> list[dict[str, Any]]:
    files = sorted(folder.glob(f"date=*/{kind}-*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]


def every_byte(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


async def write(settings: Settings, *requests: AnsweredRequest) -> None:
    prediction_log = PredictionLog(settings)
    prediction_log.start()
    for request in requests:
        assert prediction_log.append(request)
    await prediction_log.close()


def stored(url: str) -> list[dict[str, Any]]:
    filesystem, root = fsspec.url_to_fs(url)
    filesystem.invalidate_cache()
    files = filesystem.glob(f"{root}/date=*/predictions-*.jsonl")
    return [json.loads(line) for file in files for line in filesystem.cat_file(file).splitlines()]


def dropped(reason: str) -> float:
    return float(DROPPED_LOG_LINES.labels(reason)._value.get())


async def test_a_line_holds_everything_about_one_text(tmp_path: Path) -> None:
    await write(settings(tmp_path), answered())
    first, second = read(tmp_path / "log")
    assert first == {
        "request_id": "r1",
        "item": 0,
        "timestamp": "2026-11-22T12:00:00.000+00:00",
        "text": "awful phone!",
        "length": 12,
        "words": 2,
        "non_letters": pytest.approx(1 / 11, abs=1e-6),
        "label": "negative",
        "confidence": 0.7,
        "probabilities": [0.7, 0.2, 0.1],
        "model_version": "7",
        "cached": False,
        "latency_ms": 4.2,
        "protocol": "v2",
        "user_hash": first["user_hash"],
    }
    assert list(first) == [field.name for field in dataclasses.fields(PredictionRecord)]
    assert (second["item"], second["label"]) == (1, "positive")
    assert len(first["user_hash"]) == 32


@pytest.mark.parametrize("policy", ["hash", "drop"])
async def test_no_text_and_no_user_reaches_the_disk_when_texts_are_not_kept(tmp_path: Path, policy: str) -> None:
    await write(settings(tmp_path, log_text=policy), answered(texts=("awful phone!",), user="anna"))
    everything = every_byte(tmp_path)
    assert b"awful" not in everything
    assert b"phone" not in everything
    assert b"anna" not in everything
    (row,) = read(tmp_path / "log")
    assert (row["length"], row["words"]) == (12, 2)
    assert row["text"] is None if policy == "drop" else row["text"].startswith(HASH_PREFIX)


async def test_hashes_stay_equal_over_restarts_and_follow_the_key(tmp_path: Path) -> None:
    await write(settings(tmp_path), answered())
    await write(settings(tmp_path), answered())
    assert len({row["user_hash"] for row in read(tmp_path / "log")}) == 1
    assert (tmp_path / "log_hash_key").stat().st_mode & 0o777 == 0o600
    await write(settings(tmp_path, log_hash_key="another key"), answered())
    assert len({row["user_hash"] for row in read(tmp_path / "log")}) == 2


async def test_feedback_lies_beside_the_predictions(tmp_path: Path) -> None:
    prediction_log = PredictionLog(settings(tmp_path))
    prediction_log.start()
    for user in ("", "user:ann"):
        record = FeedbackRecord("r1", 0, "2026-11-22T13:00:00.000+00:00", "neutral")
        assert prediction_log.append_feedback(record, user)
    await prediction_log.close()
    unknown, known = read(tmp_path / "log", "feedback")
    same = {"request_id": "r1", "item": 0, "timestamp": "2026-11-22T13:00:00.000+00:00", "label": "neutral"}
    assert unknown == same | {"user_hash": ""}
    assert known == same | {"user_hash": known["user_hash"]}
    assert len(known["user_hash"]) == 32
    assert read(tmp_path / "log") == []


async def test_a_full_queue_drops_lines_and_counts_them(tmp_path: Path) -> None:
    prediction_log = PredictionLog(settings(tmp_path, log_queue_lines=5))
    before = dropped("queue_full")
    taken = [prediction_log.append(answered(f"r{number}")) for number in range(4)]
    assert taken == [True, True, False, False]
    assert dropped("queue_full") == before + 4
    prediction_log.start()
    await prediction_log.close()
    assert [row["request_id"] for row in read(tmp_path / "log")] == ["r0", "r0", "r1", "r1"]


async def test_a_queue_of_many_bytes_drops_lines_and_counts_them(tmp_path: Path) -> None:
    prediction_log = PredictionLog(settings(tmp_path, log_queue_bytes=50_000))
    before = dropped("queue_full")
    long = tuple("long " * 400 for _ in range(10))
    taken = [prediction_log.append(answered(f"r{number}", long)) for number in range(4)]
    assert taken == [True, True, False, False]
    assert dropped("queue_full") == before + 20
    prediction_log.start()
    await prediction_log.close()
    assert len(read(tmp_path / "log")) == 20
    assert (prediction_log._queue.lines, prediction_log._queue.bytes) == (0, 0)


@pytest.mark.parametrize("number", [1, 100])
async def test_a_request_that_makes_no_line_costs_only_its_own(tmp_path: Path, number: int) -> None:
    before = dropped("unexpected_error")
    prediction_log = PredictionLog(settings(tmp_path))
    prediction_log.start()
    prediction_log.append(answered("bad", ("\ud800",) * number))
    await _until(lambda: dropped("unexpected_error") == before + number)
    assert prediction_log.append(answered("good"))
    await prediction_log.close()
    assert [row["request_id"] for row in read(tmp_path / "log")] == ["good", "good"]
    assert prediction_log._queue.lines == 0


class HangingFileSystem(MemoryFileSystem):  # type: ignore[misc]  # fsspec ships no types
    """Hangs in every upload until it is released."""

    protocol = "hanging"
    cachable = False
    released = threading.Event()

    def put_file(self, *args: Any, **options: Any) -> None:
        del args, options
        self.released.wait(30)


async def test_a_hanging_upload_leaves_the_spool_bounded(tmp_path: Path) -> None:
    fsspec.register_implementation("hanging", HangingFileSystem, clobber=True)
    HangingFileSystem.released.clear()
    chosen = settings(tmp_path, "hanging://log", log_segment_seconds=0.01, log_spool_bytes=20_000, drain_seconds=0.5)
    prediction_log, before = PredictionLog(chosen), dropped("spool_full")
    prediction_log.start()
    for number in range(100):
        prediction_log.append(answered(f"r{number}", ("text " * 200,) * 2))
        if dropped("spool_full") > before:
            break
        await asyncio.sleep(0.05)
    assert dropped("spool_full") > before
    assert sum(path.stat().st_size for path in (tmp_path / "spool").rglob("*.jsonl*")) < 40_000
    async with asyncio.timeout(10):
        await prediction_log.close()
    HangingFileSystem.released.set()


async def test_a_failing_upload_logs_no_password(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    chosen = settings(tmp_path, "http://someone:password1@127.0.0.1:9/log", drain_seconds=0.5)
    await write(chosen, answered())
    assert "the upload to http://***@127.0.0.1:9/log failed" in caplog.text
    assert "password1" not in caplog.text


async def test_a_target_that_cannot_be_written_costs_lines_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("a file where the folder should be", encoding="utf-8")
    before = dropped("write_failed")
    await write(settings(tmp_path), answered())
    assert dropped("write_failed") == before + 2


def test_a_full_disk_leaves_whole_lines_only(tmp_path: Path) -> None:
    """RLIMIT_FSIZE makes the kernel refuse a write in the middle, as a full disk does."""
    script = """
import asyncio, signal, sys, resource
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from test_writer import answered, settings, dropped
from serving.prediction_log.writer import PredictionLog
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
async def main():
    log = PredictionLog(settings(Path(sys.argv[1])))
    log.start()
    for number in range(40):
        log.append(answered(f"r{number}"))
        await asyncio.sleep(0.02)
    await log.close()
    print(dropped("write_failed"))
asyncio.run(main())
"""
    command = [sys.executable, "-c", script, str(tmp_path), str(Path(__file__).parent)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = read(tmp_path / "log")
    assert 0 < len(rows) < 80
    assert len(rows) + float(result.stdout) == 80


async def test_a_removed_segment_is_begun_anew(tmp_path: Path) -> None:
    prediction_log = PredictionLog(settings(tmp_path))
    prediction_log.start()
    prediction_log.append(answered("lost"))
    await _until(lambda: read(tmp_path / "log"))
    for path in (tmp_path / "log").rglob("*.jsonl"):
        path.unlink()
    prediction_log.append(answered("kept"))
    await prediction_log.close()
    assert {row["request_id"] for row in read(tmp_path / "log")} == {"kept"}


async def test_segments_are_uploaded_while_running_and_on_close(tmp_path: Path, bucket: str) -> None:
    prediction_log = PredictionLog(settings(tmp_path, bucket, log_segment_seconds=0.2))
    prediction_log.start()
    prediction_log.append(answered("early"))
    await _until(lambda: stored(bucket))
    prediction_log.append(answered("late"))
    await prediction_log.close()
    assert sorted(row["request_id"] for row in stored(bucket)) == ["early", "early", "late", "late"]
    assert every_byte(tmp_path / "spool") == b""


async def test_a_target_that_is_away_keeps_segments_for_the_next_start(
    tmp_path: Path, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = LOG_UPLOADS.labels("failed")._value.get()
    with monkeypatch.context() as away:
        away.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        S3FileSystem.clear_instance_cache()
        await write(settings(tmp_path, bucket), answered("kept"))
    assert LOG_UPLOADS.labels("failed")._value.get() > failed
    S3FileSystem.clear_instance_cache()
    assert stored(bucket) == []
    await write(settings(tmp_path, bucket), answered("new"))
    assert sorted(row["request_id"] for row in stored(bucket)) == ["kept", "kept", "new", "new"]


async def test_a_full_spool_drops_lines(tmp_path: Path, bucket: str) -> None:
    folder = tmp_path / "spool" / "predictions" / "date=2026-11-21"
    folder.mkdir(parents=True)
    (folder / "predictions-host-1.jsonl.open").write_bytes(b"{}\n" * 100)
    before = dropped("spool_full")
    prediction_log = PredictionLog(settings(tmp_path, bucket, log_spool_bytes=200))
    with (folder / "predictions-host-1.jsonl.open").open("rb") as used_by_another_process:
        fcntl.flock(used_by_another_process, fcntl.LOCK_EX)
        prediction_log.start()
        prediction_log.append(answered())
        await prediction_log.close()
    assert dropped("spool_full") == before + 2


WORKER = """
import asyncio, sys, time
sys.path.insert(0, sys.argv[3])
from pathlib import Path
from test_writer import answered, settings
from serving.prediction_log.writer import PredictionLog
async def main():
    log = PredictionLog(settings(Path(sys.argv[1]), sys.argv[2], log_segment_seconds=0.5))
    log.start()
    for number in range(10**9):
        log.append(answered(f"{sys.argv[4]}{number}"))
        print(time.time(), f"{sys.argv[4]}{number}", flush=True)
        await asyncio.sleep(0.001)
asyncio.run(main())
"""


def _start(state: Path, target: str, name: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WORKER, str(state), target, str(Path(__file__).parent), name]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _kill_after(process: subprocess.Popen[str], seconds: float) -> tuple[float, list[tuple[float, str]]]:
    """Let the process work, kill it (SIGKILL); return when, and what it had answered when."""
    assert process.stdout is not None
    first = process.stdout.readline()
    time.sleep(seconds)
    killed = time.time()
    process.send_signal(signal.SIGKILL)
    with process.stdout:
        output = first + process.stdout.read()
    process.wait()
    pairs = [line.split() for line in output[: output.rfind("\n")].splitlines()]
    return killed, [(float(moment), request) for moment, request in pairs]


def _check(requests: list[tuple[float, str]], until: float, found: list[dict[str, Any]]) -> None:
    """Every request answered before `until` is there exactly once, whole."""
    due = {request for moment, request in requests if moment < until}
    items = [(row["request_id"], row["item"]) for row in found]
    assert due
    assert {(request, item) for request in due for item in (0, 1)} <= set(items)
    assert len(items) == len(set(items))


def test_kill_9_loses_nothing_older_than_a_second_and_repeats_nothing(tmp_path: Path) -> None:
    process = _start(tmp_path, str(tmp_path / "log"), "r")
    killed, requests = _kill_after(process, 2.5)
    _check(requests, killed - 1, read(tmp_path / "log"))


async def test_a_killed_process_leaves_its_spool_to_the_next_start(tmp_path: Path, bucket: str) -> None:
    process = _start(tmp_path, bucket, "r")
    killed, requests = await asyncio.to_thread(_kill_after, process, 2.5)
    await write(settings(tmp_path, bucket), answered("next"))
    _check(requests, killed - 1, stored(bucket))


async def test_a_lost_node_costs_its_spool_and_nothing_of_its_neighbour(tmp_path: Path, bucket: str) -> None:
    lost, kept = (_start(tmp_path / name, bucket, name) for name in ("lost", "kept"))
    killed, requests = await asyncio.to_thread(_kill_after, lost, 4)
    shutil.rmtree(tmp_path / "lost")
    neighbour_killed, neighbour = await asyncio.to_thread(_kill_after, kept, 1)
    await write(settings(tmp_path / "kept", bucket))
    rows = stored(bucket)
    _check(neighbour, neighbour_killed - 1, [row for row in rows if row["request_id"].startswith("kept")])
    # 0.5 s until a segment closes, 0.5 s until the next look at the spool, and the upload.
    _check(requests, killed - 3, [row for row in rows if row["request_id"].startswith("lost")])


async def _until(condition: Any, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition never came true"
        await asyncio.sleep(0.05)


def test_a_start_with_a_key_writes_nothing(tmp_path: Path) -> None:
    key = hash_key(settings(tmp_path))
    os.utime(tmp_path, ns=(0, 0))
    assert hash_key(settings(tmp_path)) == key
    assert tmp_path.stat().st_mtime_ns == 0
