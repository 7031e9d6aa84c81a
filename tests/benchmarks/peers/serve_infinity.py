"""infinity with the classifier of its engine `optimum`, which runs ONNX files.

infinity_emb v2 --engine optimum --model-id FOLDER       # with the packages of requirements/infinity.txt

infinity reads models in the layout of transformers: `write_model` puts the bundle's INT8 file into such a folder. It
has no place for the bundle's temperature, so its probabilities are those before calibration; `catalogue` applies the
temperature to its answers before they are compared with ours. Its classifier hands a batch to transformers' pipeline,
which runs one text after another.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any


def write_model(bundle: Path, folder: Path) -> None:
    """Write the model of a bundle as infinity reads it."""
    manifest = json.loads((bundle / "bundle.json").read_text(encoding="utf-8"))
    labels = manifest["labels"]
    config = {
        "model_type": "bert",
        "architectures": ["BertForSequenceClassification"],
        "id2label": dict(enumerate(labels)),
        "label2id": {label: index for index, label in enumerate(labels)},
        "problem_type": "single_label_classification",
    }
    tokenizer = {
        "tokenizer_class": "BertTokenizerFast",
        "model_max_length": manifest["max_length"],
        "model_input_names": ["input_ids", "attention_mask"],
    }
    folder.mkdir(parents=True)
    shutil.copy(bundle / "model_int8.onnx", folder / "model_quantized.onnx")
    shutil.copy(bundle / "tokenizer.json", folder)
    _write(folder / "config.json", config)
    _write(folder / "tokenizer_config.json", tokenizer)


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
