"""Export a trained model to ONNX, FP32 and INT8, and seal the bundle that is served."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

import pandas as pd

from components.evaluation.behaviour import load_cases, self_test_texts
from components.evaluation.documents import judge_documents
from components.evaluation.max_error import judge_answers, table_of
from components.modelling.cascade import stage_folders
from components.modelling.documents import FITTED_SPLITS, fit_aggregation, whole_reviews
from components.modelling.graphs.stages import Stages
from components.registry.lineage import data_digest, git_revision
from components.reporting.model_card import model_card
from components.results import evaluation as evaluations
from components.results import files
from components.results.data_report import load_warnings
from components.results.documents import Documents
from components.results.max_error import Answers
from feature_checks import bundle as bundles
from feature_checks import thresholds
from feature_checks.bundle import Bundle, FileDigest, Manifest
from feature_checks.classifier import OnnxClassifier
from feature_checks.contract import MAX_LENGTH, SPLIT, TEXT
from feature_checks.documents import aggregation, languages, max_error
from feature_checks.documents.reading import document_probabilities
from feature_checks.splits import anchor_test

CALIBRATION_TEXTS: Final = 256
"""Training texts on which the INT8 model is calibrated."""
_VERSIONED: Final = ("torch", "transformers", "optimum", "onnxruntime", "tokenizers")


def export(
    model_folder: Path,
    output: Path,
    *,
    temperature: float,
    max_length: int,
    self_test_max_gap: float,
    self_test_texts: Sequence[str],
    calibration_texts: Sequence[str],
    data_digest: str,
    git_revision: str,
    finish: Callable[[OnnxClassifier], str] = lambda _: "",
) -> Bundle:
    """Export the Hugging Face model at `model_folder` to `output`/bundle and `output`/fp32.

    `finish` gets the INT8 model before the bundle is sealed, may add files to the bundle's folder, and returns the
    model card. FP32 comes from optimum, INT8 from `components.modelling.graphs.quantization`, calibrated on
    `calibration_texts`. The probabilities of the self-test come from the FP32 model, because FP32 arithmetic agrees on
    every processor.
    """
    folder, fp32 = output / files.BUNDLE_FOLDER, output / bundles.FP32_MODEL
    folder.mkdir(parents=True, exist_ok=True)
    fp32.parent.mkdir(exist_ok=True)
    shutil.copyfile(model_folder / bundles.TOKENIZER, folder / bundles.TOKENIZER)
    with tempfile.TemporaryDirectory() as scratch:
        stages = Stages.of(model_folder, Path(scratch))
        stages.write_fp32(fp32)
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
        calibration = [classifier.feed([text]) for text in classifier.encode(calibration_texts)]
        stages.write_int8(folder / bundles.INT8_MODEL, calibration)
    _write_self_test(folder, classifier, self_test_texts)
    card = finish(OnnxClassifier(Bundle(folder, manifest, digest="")))
    (folder / bundles.CARD).write_text(card, encoding="utf-8")
    return bundles.seal(folder, manifest)


def export_candidate(model: Path, evaluation: Path, data: Path, data_check: Path, *, output: Path) -> Bundle:
    """Export the model folder `model` with the temperature, data digest and warnings that earlier steps wrote.

    Example: `export_candidate(run / "model", run / "evaluation", run / "split.parquet", run / "check", output=run)`.
    """
    result = evaluations.load(evaluation)
    frame = pd.read_parquet(data)
    train_texts = frame.loc[frame[SPLIT] == "train", TEXT]
    configs = [json.loads((folder / "config.json").read_text(encoding="utf-8")) for folder in stage_folders(model)]
    provenance = {"data_digest": data_digest(frame), "git_revision": git_revision()}

    def finish(served: OnnxClassifier) -> str:
        documents = fit_documents(served, frame, output / files.BUNDLE_FOLDER)
        answers = fit_max_errors(served, frame, output / files.BUNDLE_FOLDER)
        layers = [int(config.get("num_hidden_layers", 0)) for config in configs]
        return model_card(result, load_warnings(data_check), documents, answers, layers=layers, **provenance)

    return export(
        model,
        output,
        temperature=result.temperature,
        max_length=MAX_LENGTH,
        self_test_max_gap=thresholds.load().export.self_test_max_gap,
        self_test_texts=self_test_texts(load_cases()),
        calibration_texts=train_texts.sample(min(CALIBRATION_TEXTS, len(train_texts)), random_state=0).tolist(),
        finish=finish,
        **provenance,
    )


def fit_documents(served: OnnxClassifier, frame: pd.DataFrame, folder: Path) -> Documents | None:
    """Add to the bundle's `folder` how long reviews are read, and the languages of the training texts.

    Returns the figures on the test reviews.
    """
    train_texts = frame.loc[frame[SPLIT] == "train", TEXT].tolist()
    languages.save(languages.languages_of(train_texts), folder)
    served.aggregation = fit_aggregation(served, whole_reviews(frame, FITTED_SPLITS))
    aggregation.save(served.aggregation, folder)
    return judge_documents(served, frame)


def fit_max_errors(served: OnnxClassifier, frame: pd.DataFrame, folder: Path) -> Answers | None:
    """Add to the bundle's `folder` which confidence keeps which accepted error, from the validation split.

    Call it after `fit_documents`, which may change the answers to long rows. Returns the figures on the test split;
    None for data without validation rows, whose bundle has no table.
    """
    validation, test = frame[frame[SPLIT] == "validation"], anchor_test(frame)
    table = table_of(validation, document_probabilities(served, validation[TEXT].tolist()))
    if table is None:
        return None
    max_error.save(table, folder)
    probabilities = document_probabilities(served, test[TEXT].tolist())
    return judge_answers(table, test, probabilities)


def _write_self_test(folder: Path, classifier: OnnxClassifier, texts: Sequence[str]) -> None:
    probabilities = classifier.probabilities(texts)
    content = {"texts": list(texts), "probabilities": probabilities.round(6).tolist()}
    (folder / bundles.REFERENCE).write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")


def _versions() -> Mapping[str, str]:
    return {name: version(name) for name in _VERSIONED}
