"""infinity with the classifier of its engine `optimum`, which runs ONNX files.

python serve_infinity.py PORT FOLDER       # with the packages of requirements/infinity.txt; `write_model` makes FOLDER

infinity reads models in the layout of transformers, so the bundle's INT8 file is put into such a folder. Three things
are infinity's own:

- It has no place for the bundle's temperature. Its probabilities are those before calibration, and the temperature is
  applied to its answers before they are compared with ours.
- Its classifier hands a batch to transformers' pipeline, which runs one text after another.
- It does not cut texts. The warm-up is off because it sends 512 tokens, and the model reads 256.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
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


def main(port: str, folder: str) -> None:
    """Serve until killed. infinity takes a local ONNX file only from the folder that it runs in."""
    from infinity_emb.cli import cli

    os.chdir(folder)
    model = ["--model-id", ".", "--served-model-name", "sentiment", "--engine", "optimum", "--device", "cpu"]
    options = ["--no-model-warmup", "--onnx-disable-optimize", "--log-level", "warning"]
    sys.argv[1:] = ["v2", *model, *options, "--host", "127.0.0.1", "--port", port]
    cli()


if __name__ == "__main__":
    main(*sys.argv[1:])
