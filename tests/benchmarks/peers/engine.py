"""The bundle's INT8 model for the servers of other projects: onnxruntime and tokenizers, nothing else to install.

Only the normalisation of texts is this project's own code, because the tokens must be the same. Each server has as many
workers as there are cores, one thread each, as the manuals of all three advise for CPUs.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from tokenizers import Tokenizer

from feature_checks.contract import normalise

WORKERS: Final = len(os.sched_getaffinity(0))
BATCH: Final = 16
"""Most texts in a batch. A text of a larger batch takes more time, because texts of all lengths are padded to one."""
WAIT_SECONDS: Final = 0.005
"""How long a batch waits for more texts, where the server has such a setting."""


class Engine:
    """One session with one thread. A batch is padded to its longest text."""

    def __init__(self) -> None:
        """Load the bundle that the environment variable BUNDLE names."""
        folder = Path(os.environ["BUNDLE"])
        manifest = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        model = str(folder / "model_int8.onnx")
        self.labels: list[str] = manifest["labels"]
        self._temperature = float(manifest["temperature"])
        self._session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._inputs = [node.name for node in self._session.get_inputs()]
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(manifest["max_length"])
        self._tokenizer.enable_padding()

    def probabilities(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return the probabilities, n x 3, columns in the order of `labels`."""
        return np.concatenate([self._run(texts[start : start + BATCH]) for start in range(0, len(texts), BATCH)])

    def _run(self, texts: Sequence[str]) -> NDArray[np.float64]:
        encodings = self._tokenizer.encode_batch([normalise(text) for text in texts])
        ids = np.array([encoding.ids for encoding in encodings], dtype=np.int64)
        mask = np.array([encoding.attention_mask for encoding in encodings], dtype=np.int64)
        feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        (logits,) = self._session.run(None, {name: feed[name] for name in self._inputs})
        exponentials = np.exp((logits - logits.max(axis=1, keepdims=True)) / self._temperature)
        result: NDArray[np.float64] = exponentials / exponentials.sum(axis=1, keepdims=True)
        return result

    def predictions(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        """Return for each text what this project's predictor answers: label, confidence and probabilities."""
        return [
            {
                "label": self.labels[int(row.argmax())],
                "confidence": float(row.max()),
                "probabilities": dict(zip(self.labels, row.tolist(), strict=True)),
            }
            for row in self.probabilities(texts)
        ]
