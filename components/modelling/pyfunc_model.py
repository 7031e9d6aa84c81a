"""The registered model as an MLflow pyfunc, which needs neither this repository nor the server.

mlflow.pyfunc.load_model("models:/review-sentiment@champion").predict(["Great camera."])
mlflow models predict --model-uri models:/review-sentiment@champion --env-manager uv --input-path reviews.json
mlflow models serve --model-uri models:/review-sentiment@champion --env-manager uv
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext

from feature_checks import bundle as bundles
from feature_checks.classifier import OnnxClassifier
from feature_checks.contract import LABELS, MAX_TEXT_CHARS, TEXT, normalise
from feature_checks.documents.reading import document_probabilities


class SentimentModel(PythonModel):  # type: ignore[misc]
    """Scores texts with the INT8 model of the bundle, each read in full, and refuses what the server refuses."""

    def load_context(self, context: PythonModelContext) -> None:
        """Open the bundle that was logged with the model."""
        self._classifier = OnnxClassifier(bundles.load(Path(context.artifacts["bundle"])))

    # With type hints, MLflow would derive a signature from this method and replace the logged one.
    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]  # noqa: ARG002
        """Return label, confidence and the three probabilities of each text, n rows.

        Raises MlflowException, which `mlflow models serve` answers with 400, for a value that is no text.
        """
        probabilities = document_probabilities(self._classifier, texts_of(model_input))
        best = probabilities.argmax(axis=1)
        table = pd.DataFrame(probabilities, columns=list(LABELS))
        return table.assign(label=[LABELS[index] for index in best], confidence=probabilities.max(axis=1))


def texts_of(model_input: Any) -> list[str]:
    """Return the texts of a list, or of the first column of a frame. Raises MlflowException for what is no text.

    The signature has no column name, so that a plain list of texts is an input too. MLflow then takes the first column
    of a frame whatever its name, which must therefore be checked here. It names an unnamed column 0, and for Spark "0".
    """
    if isinstance(model_input, pd.DataFrame):
        name = model_input.columns[0]
        if name not in (TEXT, 0, "0"):
            raise _invalid(f"the first column is {name!r}; expected {TEXT!r}, or a list of texts without column names")
        model_input = model_input.iloc[:, 0]
    texts = list(model_input)
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise _invalid(f"{TEXT}[{row}]: found {text!r}; expected a string")
        if len(text) > MAX_TEXT_CHARS:
            raise _invalid(f"{TEXT}[{row}]: found {len(text)} characters; a text may have at most {MAX_TEXT_CHARS}")
        if not normalise(text):
            raise _invalid(f"{TEXT}[{row}]: the text is blank; expected a visible character")
    return texts


def _invalid(message: str) -> MlflowException:
    return MlflowException.invalid_parameter_value(message)


set_model(SentimentModel())
