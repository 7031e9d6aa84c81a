"""The registered model as an MLflow pyfunc: `mlflow.pyfunc.load_model(uri).predict(["Great camera."])`."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext

from feature_checks import bundle as bundles
from feature_checks.classifier import OnnxClassifier
from feature_checks.contract import LABELS
from feature_checks.documents.reading import document_probabilities


class SentimentModel(PythonModel):  # type: ignore[misc]
    """Scores texts of any length with the INT8 model of the bundle."""

    def load_context(self, context: PythonModelContext) -> None:
        """Open the bundle that was logged with the model."""
        self._classifier = OnnxClassifier(bundles.load(Path(context.artifacts["bundle"])))

    # With type hints, MLflow would derive a signature from this method and replace the logged one.
    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]  # noqa: ARG002
        """Return label, confidence and the three probabilities of each text."""
        texts = model_input.iloc[:, 0].tolist() if isinstance(model_input, pd.DataFrame) else list(model_input)
        probabilities = document_probabilities(self._classifier, texts)
        best = probabilities.argmax(axis=1)
        table = pd.DataFrame(probabilities, columns=list(LABELS))
        return table.assign(label=[LABELS[index] for index in best], confidence=probabilities.max(axis=1))


set_model(SentimentModel())
