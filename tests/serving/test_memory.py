"""The budget for the bytes of requests, and the return of freed memory to the system."""

from __future__ import annotations

import asyncio
import json
import threading

import orjson
import pytest

from serving.handlers import _text_bytes
from serving.memory import BodyBudget, most_text_bytes
from serving.protocol.v1 import parse_predict
from serving.settings import Settings

MEBIBYTE = 1024**2


def test_the_largest_request_in_the_widest_characters_fits_the_default_budget() -> None:
    """Otherwise the reply would be 503 for ever, with the advice to send the request again."""
    settings = Settings()
    # Two spaces, which the model reads as one, so that each text is held twice.
    texts = ["a  " * 6_660 + "\U0001f600"] * (settings.max_body_bytes // 20_000 - 1)
    body = orjson.dumps({"instances": texts})
    assert 0.98 * settings.max_body_bytes < len(body) <= settings.max_body_bytes
    request = parse_predict(body, None, settings.max_texts)
    assert _text_bytes(request) <= most_text_bytes(body) <= settings.max_bodies_bytes - len(body)


@pytest.mark.parametrize("wide", [False, True])
async def test_a_text_that_the_model_reads_as_it_is_counts_once(wide: bool) -> None:
    text = "a" * 9_999 + ("\U0001f600" if wide else "b")
    request = parse_predict(orjson.dumps({"instances": [text]}), None, 1)
    assert _text_bytes(request) == pytest.approx(10_000 * (4 if wide else 1), rel=0.02)


@pytest.mark.parametrize(
    ("text", "times"), [("plain  text", 2), ("na\u00efve  text", 4), ("\U0001f600  text", 8), ("\u20ac  text", 4)]
)
@pytest.mark.parametrize("escaped", [False, True])
def test_the_memory_of_texts_is_bounded_before_they_are_parsed(text: str, times: int, escaped: bool) -> None:
    instances = [text * 500] * 4
    body = json.dumps({"instances": instances}).encode() if escaped else orjson.dumps({"instances": instances})
    assert most_text_bytes(body) == times * len(body)
    assert _text_bytes(parse_predict(body, None, 10)) <= most_text_bytes(body)


async def test_freed_memory_is_returned_once_for_many_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.memory._RELEASE_SECONDS", 0.05)
    released = threading.Semaphore(0)
    budget = BodyBudget(1024 * MEBIBYTE, released.release)
    for _ in range(3):
        with budget.holding(20 * MEBIBYTE):
            pass
    await asyncio.sleep(0.1)
    assert not released.acquire(blocking=False), "less than 64 MiB have been given back"
    for _ in range(10):
        with budget.holding(20 * MEBIBYTE):
            pass
    assert await asyncio.to_thread(released.acquire, timeout=5)
    await asyncio.sleep(0.1)
    assert not released.acquire(blocking=False), "once is enough"
    with budget.holding(64 * MEBIBYTE):
        pass
    assert await asyncio.to_thread(released.acquire, timeout=5)
