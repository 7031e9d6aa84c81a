"""MLServer with a runtime of our own and adaptive batching.

mlserver start FOLDER       # with the packages of requirements/mlserver.txt
"""

from __future__ import annotations

from mlserver import MLModel
from mlserver.codecs import NumpyCodec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse

from tests.benchmarks.peers.engine import Engine


class Sentiment(MLModel):  # type: ignore[misc]  # not installed where types are checked
    """Answers as this project's predictor does over V2: label, confidence and probabilities."""

    async def load(self) -> bool:
        self.engine = Engine()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        probabilities = self.engine.probabilities(StringCodec.decode_input(payload.inputs[0]))
        labels = [self.engine.labels[index] for index in probabilities.argmax(axis=1)]
        return InferenceResponse(
            model_name=self.name,
            outputs=[
                StringCodec.encode_output("label", labels),
                NumpyCodec.encode_output("confidence", probabilities.max(axis=1)),
                NumpyCodec.encode_output("probabilities", probabilities),
            ],
        )
