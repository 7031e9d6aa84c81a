"""What a model answers for an accepted error, as `verify` writes it and the gate reads it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from components.results import files
from components.results.interval import Interval


@dataclass(frozen=True)
class LimitResult:
    """One accepted error, on texts that the confidence for it was not calibrated on."""

    max_error: float
    confidence: float | None
    """The confidence from which on a text is answered; None if nothing is answered."""
    answers: int
    coverage: float
    """The share of the texts that is answered."""
    error: float | None
    """The share of the answers that is wrong; None without an answer."""
    interval: Interval | None
    """Of that, by a bootstrap over reviews."""


@dataclass(frozen=True)
class CoveragePoint:
    """What a threshold of the confidence leaves."""

    confidence: float
    coverage: float
    """The share of the texts with this confidence or more."""
    error: float
    """The share of these that is labelled wrong."""


@dataclass(frozen=True)
class Answers:
    """Coverage and error among the answered, on the test split."""

    texts: int
    """The texts that were judged."""
    calibration_reviews: int
    """The validation reviews that the confidences were calibrated on."""
    calibration_texts: int
    limits: Sequence[LimitResult]
    curve: Sequence[CoveragePoint]
    """In ascending order of the confidence."""


def save(answers: Answers, folder: Path) -> None:
    """Write the figures to `folder`, which must exist."""
    (folder / files.ANSWERS).write_text(json.dumps(asdict(answers), indent=2), encoding="utf-8")


def load(folder: Path) -> Answers | None:
    """Read what `save` wrote; None if nothing was written."""
    path = folder / files.ANSWERS
    return parse(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None


def parse(content: dict[str, Any] | None) -> Answers | None:
    """Return the figures from JSON; None for None."""
    if content is None:
        return None
    limits = [parse_limit(limit) for limit in content["limits"]]
    return Answers(**(content | {"limits": limits, "curve": [CoveragePoint(**point) for point in content["curve"]]}))


def parse_limit(content: dict[str, Any]) -> LimitResult:
    """Return the figures of one accepted error from JSON."""
    interval = content["interval"]
    return LimitResult(**(content | {"interval": Interval(**interval) if interval else None}))
