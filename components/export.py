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
from rich.progress import track

from components.behaviour import load_cases, reference_texts
from components.card import model_card
from components.check import load_warnings
from components.evaluate import load_evaluation
from components.ingest import data_digest
from components.quantize import OPSET, quantize
from components.state import git_revision
from components.train import MAX_LENGTH
from feature_checks import bundle as bundles
from feature_checks import thresholds
from feature_checks.bundle import Bundle, FileDigest, Manifest
from feature_checks.classifier import OnnxClassifier
from feature_checks.contract import SPLIT, TEXT

BUNDLE_FOLDER: Final = "bundle"
CALIBRATION_TEXTS: Final = 256
_VERSIONED: Final = ("torch", "transformers", "optimum", "onnxruntime", "tokenizers")


def export(
    model_folder: Path,
    output: Path,
    *,
    temperature: float,
    max_length: int,
    self_test_max_gap: float,
    reference_texts: Sequence[str],
    calibration_texts: Sequence[str],
    data_digest: str,
    git_revision: str,
    card: str = "",
) -> Bundle:
    """Export the Hugging Face model at `model_folder` to `output`/bundle and `output`/fp32.

    FP32 comes from optimum, INT8 from `components.quantize`, calibrated on `calibration_texts`. The self-test's
    reference probabilities come from the FP32 model, because FP32 arithmetic agrees on every processor.
    """
    folder = output / BUNDLE_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    fp32 = output / bundles.FP32_MODEL
    fp32.parent.mkdir(exist_ok=True)
    _write_fp32(model_folder, fp32)
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
    classifier = OnnxClassifier(Bundle(folder, manifest, digest=""), model=fp32, threads=0)
    feeds = (classifier.feed([text]) for text in classifier.encode(calibration_texts))
    quantize(fp32, folder / bundles.INT8_MODEL, track(feeds, total=len(calibration_texts), description="calibrating"))
    _write_reference(folder, classifier, reference_texts)
    (folder / bundles.CARD).write_text(card, encoding="utf-8")
    return bundles.seal(folder, manifest)


def export_candidate(model: Path, evaluation: Path, data: Path, findings: Path, *, output: Path) -> Bundle:
    """Export what the earlier steps wrote: their temperature, data digest and warnings go into bundle and card."""
    result = load_evaluation(evaluation)
    frame = pd.read_parquet(data)
    train_texts = frame.loc[frame[SPLIT] == "train", TEXT]
    provenance = {"data_digest": data_digest(frame), "git_revision": git_revision()}
    return export(
        model,
        output,
        temperature=result.temperature,
        max_length=MAX_LENGTH,
        self_test_max_gap=thresholds.load().export.self_test_max_gap,
        reference_texts=reference_texts(load_cases()),
        calibration_texts=train_texts.sample(min(CALIBRATION_TEXTS, len(train_texts)), random_state=0).tolist(),
        card=model_card(result, load_warnings(findings), **provenance),
        **provenance,
    )


def _write_fp32(model_folder: Path, path: Path) -> None:
    from optimum.exporters.onnx import main_export

    with tempfile.TemporaryDirectory() as scratch:
        main_export(str(model_folder), scratch, task="text-classification", opset=OPSET, do_validation=False)
        shutil.move(Path(scratch, "model.onnx"), path)


def _write_reference(folder: Path, classifier: OnnxClassifier, texts: Sequence[str]) -> None:
    probabilities = classifier.probabilities(texts)
    content = {"texts": list(texts), "probabilities": probabilities.round(6).tolist()}
    (folder / bundles.REFERENCE).write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")


def _versions() -> Mapping[str, str]:
    return {name: version(name) for name in _VERSIONED}
