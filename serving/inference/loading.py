"""Loads a verified bundle into a warm engine, after a self-test against the bundle's reference on this processor."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from feature_checks.bundle import Bundle, BundleError
from serving.inference.engine import Engine, OnnxEngine, self_test_gap, warm_up

logger = logging.getLogger(__name__)


class SelfTestFailed(BundleError):
    """Neither model of the bundle reproduces its reference probabilities on this processor."""


Arithmetic = Literal["int8", "fp32"]


@dataclass(frozen=True)
class PreparedModel:
    """A loaded version that is ready to be served."""

    version: str
    """The number of the registered version, or the beginning of the bundle's digest for a plain folder."""
    bundle: Bundle
    """The verified bundle."""
    engine: Engine
    """The warm engine."""
    arithmetic: Arithmetic
    """The arithmetic of the engine's model."""


def load_model(version: str, bundle: Bundle, fp32: Callable[[], Path]) -> PreparedModel:
    """Return a warm engine for the bundle: INT8, or FP32 if the INT8 arithmetic of this processor disagrees.

    `fp32` makes the FP32 model available and returns its path; it is called only if it is needed. Raises
    SelfTestFailed if neither model reproduces the reference probabilities, BundleError if one cannot be loaded.
    """
    engine, arithmetic = _engine(version, bundle), "int8"
    gap, limit = self_test_gap(engine, bundle), bundle.manifest.self_test_max_gap
    if gap > limit:
        logger.warning(
            "version %s: INT8 is off by %.4f on this processor, at most %.4f is allowed; FP32 is served",
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
    return PreparedModel(version, bundle, engine, "fp32" if arithmetic == "fp32" else "int8")


def _engine(version: str, bundle: Bundle, model: Path | None = None) -> OnnxEngine:
    try:
        return OnnxEngine(bundle, model=model)
    except Exception as error:  # the errors of onnxruntime and tokenizers have no common base class
        raise BundleError(f"version {version}: the model cannot be loaded ({type(error).__name__}: {error})") from error
