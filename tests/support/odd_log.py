"""A small prediction log with everything that a reader can meet: damaged lines, repeated lines, labels, odd values."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, Final

from feature_checks.contract import LABELS
from feature_checks.prediction_record import FEEDBACK, PREDICTIONS, describe, segment_path

START: Final = datetime(2026, 11, 20, 22, 30, tzinfo=UTC)
END: Final = datetime(2026, 11, 22, 1, 30, tzinfo=UTC)
DAMAGED: Final = (
    b'{"request_id": "torn", "it',
    b"[1]",
    b"5",
    b"null",
    b'"text"',
    b'{"item": 0, "timestamp": "2026-11-21T00:00:00.000+00:00"}',
    b'{"request_id": 3, "item": 0, "timestamp": "2026-11-21T00:00:00.000+00:00"}',
    b'{"request_id": "a", "item": true, "timestamp": "2026-11-21T00:00:00.000+00:00"}',
    b'{"request_id": "a", "item": 1.0, "timestamp": "2026-11-21T00:00:00.000+00:00"}',
    b'{"request_id": "a", "item": -2, "timestamp": "2026-11-21T00:00:00.000+00:00"}',
    b'{"request_id": "a", "item": "0", "timestamp": "2026-11-21T00:00:00.000+00:00"}',
    b'{"request_id": "a", "item": 0, "timestamp": null}',
    b'{"request_id": "a\xff", "item": 0, "timestamp": "2026-11-21T00:00:00.000+00:00"}',
    b'{"request_id": "a", "item": 0, "timestamp": "2026-11-21T00:00:00.000+00:00", "text": "\\ud800"}',
    b'{"request_id": "a", "item": 0, "timestamp": "2026-11-21T00:00:00.000+00:00"} and more',
    b'{"request_id": "a", "item": 0, "timestamp": "2026-11-21T00:00:00.000+00:00"}{"request_id": "b"}',
    b'\x00{"request_id": "a"}',
)
"""Lines that are no records."""
_EMPTY: Final = (b"", b"   ", b"\t")
_ODD: Final = (
    '{"request_id": "odd-1", "item": 0, "timestamp": "2026-11-21T05:00:00.000+00:00", "model_version": null}',
    '{"request_id": "odd-2", "item": 7, "timestamp": "2026-11-21T05:00:00.000+00:00", "model_version": 3}',
    '  {"confidence": 0.10, "text": {"a": [1]}, "timestamp": "2026-11-21T05:00:00.000+00:00", "item": 0, '
    '"request_id": "odd-\\u0033 \\"q\\""}  \r',
    '{"request_id": "odd-4", "item": 123456789012345678901234567890, "timestamp": "2026-11-21T05:00:00.000+00:00"}',
)
"""Records that no predictor of ours writes."""


def files(requests: int = 60) -> dict[str, bytes]:
    """Return the content of the log by path: 30 hours, two model versions, segments with and without an hour."""
    lines: dict[str, list[bytes]] = {}
    for number in range(requests):
        hour = f"2026-11-{20 + number // 2 % 3}T{(5 * number) % 24:02d}"
        for item in range(1 + number % 3):
            row = prediction(f"request-{number}", item, f"{hour}:{number % 60:02d}:00.000+00:00", 1 + number % 2)
            place = segment_path(PREDICTIONS, hour if number % 4 else hour[:10], f"pod-{number % 2}")
            lines.setdefault(place, []).append(_line(row))
            if number % 5 == 0:  # there twice, the second time in another segment
                lines.setdefault(segment_path(PREDICTIONS, hour, "again"), []).append(_line(row))
            if number % 7 == 0:  # there twice with another time and text
                later = row | {"timestamp": f"{hour}:59:59.000+00:00", "text": f"later {number}"}
                lines.setdefault(segment_path(PREDICTIONS, hour, "later"), []).append(_line(later))
            if number % 3 == 0:
                for place, label in _labels(row, number):
                    lines.setdefault(place, []).append(_line(label))
    odd = [line.encode() for line in _ODD]
    lines[segment_path(PREDICTIONS, "2026-11-21", "odd")] = [*odd[:2], *DAMAGED, *_EMPTY, *odd[2:]]
    lines[segment_path(FEEDBACK, "2026-11-21T09", "odd")] = [b'{"torn', *_EMPTY]
    # The last line of a segment may lack its end.
    return {path: b"\n".join(content) + b"\n" * (index % 2) for index, (path, content) in enumerate(lines.items())}


def prediction(request: str, item: int, time: str, version: int) -> dict[str, Any]:
    """Return one line of the log."""
    text = f"sentence {item} of {request}, ünïcödé 👍"
    answer = {"label": LABELS[item % 3], "confidence": 0.5 + item / 7, "probabilities": [0.1, 0.1, 0.8]}
    rest = {"model_version": str(version), "cached": False, "latency_ms": 2.0, "protocol": "v2", "user_hash": ""}
    return (
        {"request_id": request, "item": item, "timestamp": time, "text": text}
        | describe(text)._asdict()
        | answer
        | rest
    )


def _labels(row: dict[str, Any], number: int) -> list[tuple[str, dict[str, Any]]]:
    """Return labels of one text, given an hour after each other: the last valid one counts."""
    identity = {name: row[name] for name in ("request_id", "item")} | {"user_hash": f"user-{number % 2}"}
    times = [f"2026-11-{22 + later}T0{later}:00:00.000+00:00" for later in range(3)]
    given = (LABELS[number % 3], LABELS[(number + 1) % 3], "good")
    return [
        (
            segment_path(FEEDBACK, time[:13], "pod"),
            identity | {"timestamp": time, "label": label},
        )
        for time, label in zip(times, given, strict=True)
    ]


def _line(row: dict[str, Any]) -> bytes:
    return json.dumps(row, ensure_ascii=False).encode()
