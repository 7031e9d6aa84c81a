"""A verified bundle → a warm engine that agrees with its reference on this processor, or a refusal."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from feature_checks.bundle import Bundle, BundleError
from serving.engine import Engine, OnnxEngine, self_test_gap, warm_up

logger = logging.getLogger(__name__)


class SelfTestFailed(BundleError):
    """Neither model of the bundle reproduces its reference probabilities on this processor."""


Arithmetic = Literal["int8", "fp32"]


@dataclass(frozen=True)
class Prepared:
    """A version that is ready to be put behind a batcher."""

    version: str
    bundle: Bundle
    engine: Engine
    arithmetic: Arithmetic


def prepare(version: str, bundle: Bundle, fp32: Callable[[], Path]) -> Prepared:
    """Return a warm engine for the bundle: INT8, or FP32 where this processor's INT8 arithmetic disagrees.

    `fp32` makes the FP32 model available; it is called only when needed. Raises SelfTestFailed when
    neither model reproduces the reference probabilities, BundleError when one cannot be loaded.
    """
    engine, arithmetic = _engine(version, bundle), "int8"
    gap, limit = self_test_gap(engine, bundle), bundle.manifest.self_test_max_gap
    if gap > limit:
        logger.warning(
            "version %s: INT8 is off by %.4f on this processor (at most %.4f): FP32 is served",
            version,
            gap,
            limit,
        )
        engine, arithmetic = _engine(version, bundle, fp32()), "fp32"
        gap = self_test_gap(engine, bundle)
    if not gap <= limit:
        raise SelfTestFailed(
            f"version {version}: even FP32 is off by {gap:.4f} in the self-test; at most {limit:.4f} is allowed"
        )
    warm_up(engine)
    logger.info("version %s: %s, self-test gap %.4f", version, arithmetic, gap)
    return Prepared(version, bundle, engine, "fp32" if arithmetic == "fp32" else "int8")


def _engine(version: str, bundle: Bundle, model: Path | None = None) -> OnnxEngine:
    try:
        return OnnxEngine(bundle, model=model)
    except Exception as error:  # what onnxruntime and tokenizers raise has no common base
        raise BundleError(f"version {version}: the model cannot be loaded ({error!r})") from error
