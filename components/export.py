"""Trained model → ONNX FP32 and INT8 → a sealed bundle."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

import pandas as pd

from components.behaviour import load_cases, reference_texts
from components.card import model_card
from components.check import load_warnings
from components.evaluate import load_evaluation
from components.ingest import data_digest
from components.state import git_revision
from components.train import MAX_LENGTH
from feature_checks import bundle as bundles
from feature_checks import thresholds
from feature_checks.bundle import Bundle, FileDigest, Manifest

BUNDLE_FOLDER: Final = "bundle"
_VERSIONED: Final = ("torch", "transformers", "optimum", "onnxruntime", "tokenizers")


def export(
    model_folder: Path,
    output: Path,
    *,
    temperature: float,
    max_length: int,
    self_test_max_gap: float,
    reference_texts: Sequence[str],
    data_digest: str,
    git_revision: str,
    card: str = "",
) -> Bundle:
    """Export the Hugging Face model at `model_folder` to `output`/bundle and `output`/fp32.

    INT8 is dynamic, per channel (weights once, activations per batch), by optimum. The self-test's reference
    probabilities come from the FP32 model, because FP32 arithmetic agrees on every processor.
    """
    folder = output / BUNDLE_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    fp32 = output / bundles.FP32_MODEL
    fp32.parent.mkdir(exist_ok=True)
    _write_models(model_folder, fp32, folder / bundles.INT8_MODEL)
    shutil.copyfile(model_folder / bundles.TOKENIZER, folder / bundles.TOKENIZER)
    manifest = Manifest(
        max_length=max_length,
        temperature=temperature,
        self_test_max_gap=self_test_max_gap,
        fp32=FileDigest.of(fp32),
        data_digest=data_digest,
        git_revision=git_revision,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        versions=_versions(),
    )
    _write_reference(folder, manifest, fp32, reference_texts)
    (folder / bundles.CARD).write_text(card, encoding="utf-8")
    return bundles.seal(folder, manifest)


def export_candidate(model: Path, evaluation: Path, data: Path, findings: Path, *, output: Path) -> Bundle:
    """Export what the earlier steps wrote: their temperature, data digest and warnings go into bundle and card."""
    result = load_evaluation(evaluation)
    provenance = {"data_digest": data_digest(pd.read_parquet(data)), "git_revision": git_revision()}
    return export(
        model,
        output,
        temperature=result.temperature,
        max_length=MAX_LENGTH,
        self_test_max_gap=thresholds.load().export.self_test_max_gap,
        reference_texts=reference_texts(load_cases()),
        card=model_card(result, load_warnings(findings), **provenance),
        **provenance,
    )


def _write_models(model_folder: Path, fp32: Path, int8: Path) -> None:
    from optimum.exporters.onnx import main_export
    from optimum.onnxruntime import ORTQuantizer
    from optimum.onnxruntime.configuration import AutoQuantizationConfig

    with tempfile.TemporaryDirectory() as scratch:
        exported = Path(scratch, "exported")
        main_export(str(model_folder), exported, task="text-classification", do_validation=False)
        quantizer = ORTQuantizer.from_pretrained(exported, file_name="model.onnx")
        settings = AutoQuantizationConfig.avx512_vnni(is_static=False, per_channel=True)
        quantizer.quantize(save_dir=Path(scratch, "quantized"), quantization_config=settings, file_suffix="")
        shutil.move(exported / "model.onnx", fp32)
        shutil.move(Path(scratch, "quantized", "model.onnx"), int8)


def _write_reference(folder: Path, manifest: Manifest, fp32: Path, texts: Sequence[str]) -> None:
    from feature_checks.classifier import OnnxClassifier

    unsealed = Bundle(folder=folder, manifest=manifest, digest="")
    probabilities = OnnxClassifier(unsealed, model=fp32).probabilities(texts)
    content = {"texts": list(texts), "probabilities": probabilities.round(6).tolist()}
    (folder / bundles.REFERENCE).write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")


def _versions() -> Mapping[str, str]:
    return {name: version(name) for name in _VERSIONED}
