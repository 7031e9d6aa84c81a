"""A cascade in one graph computes what its stages compute one after the other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from transformers import AutoTokenizer

from components.modelling import base_models, distillation
from components.modelling.cascade import FIRST_STAGE, Cascade
from components.modelling.graphs.building import Feed
from components.modelling.graphs.stages import Stages
from components.modelling.graphs.two_stages import joined
from feature_checks.classifier import session_options, softmax
from tests.support.tiny_models import easy_reviews, write_tiny_bert

TEXTS: list[str] = [*easy_reviews()["text"].sample(47, random_state=0), "!", "It works. " * 12]


def run(model: onnx.ModelProto, feed: Feed) -> NDArray[np.float32]:
    session = ort.InferenceSession(model.SerializeToString(), session_options(1))
    logits: NDArray[np.float32] = session.run(None, dict(feed))[0]
    return logits


@dataclass(frozen=True)
class Exported:
    """Both stages as separate models, FP32 and INT8, and texts for them."""

    models: dict[str, tuple[onnx.ModelProto, onnx.ModelProto]]
    alone: list[dict[str, NDArray[np.int64]]]
    """The inputs of each text alone."""

    def batch(self, inputs: set[str]) -> dict[str, NDArray[np.int64]]:
        width = max(feed["input_ids"].shape[1] for feed in self.alone)
        return {
            name: np.concatenate(
                [np.pad(feed[name], ((0, 0), (0, width - feed[name].shape[1]))) for feed in self.alone]
            )
            for name in inputs
        }

    def cascade(self, precision: str, share: float) -> Cascade:
        """Return a cascade whose second stage reads this share of the texts."""
        first = self.models[precision][0]
        confidence = softmax(run(first, self.batch(names(first)))).max(axis=1)
        limit = {0.0: 0.0, 1.0: 1.01}.get(share, float(np.quantile(confidence, share)))
        return Cascade(limit, margin=float(np.ptp(confidence)) / 4)


def names(model: onnx.ModelProto) -> set[str]:
    return {value.name for value in model.graph.input}


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    folder = tmp_path_factory.mktemp("cascade")
    model, _ = base_models.load(str(write_tiny_bert(folder / "model", spread=0.3, layers=6)))
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    distillation.student_of(model).save_pretrained(folder / "model" / FIRST_STAGE)
    tokenizer.save_pretrained(folder / "model" / FIRST_STAGE)
    Cascade(0.5, 0.1).save(folder / "model")
    alone = [dict(tokenizer(text, return_tensors="np")) for text in TEXTS]
    stages = Stages.of(folder / "model", folder)
    stages.write_int8(folder / "int8.onnx", alone)
    paths = {"fp32": "[01].onnx", "int8": "[01].int8"}
    models = {name: tuple(onnx.load(path) for path in sorted(folder.glob(pattern))) for name, pattern in paths.items()}
    return Exported({name: (first, second) for name, (first, second) in models.items()}, alone)


@pytest.mark.parametrize("share", [0.0, 0.02, 0.4, 1.0])
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_the_graph_computes_what_the_stages_compute_one_after_the_other(
    exported: Exported, precision: str, share: float
) -> None:
    first, second = exported.models[precision]
    cascade = exported.cascade(precision, share)
    one, two = (run(stage, exported.batch(names(stage))) for stage in (first, second))
    assert np.abs(one - two).max() > 0.1, "the stages must give different answers"
    assert len(cascade.unsure(one)) == pytest.approx(share * len(TEXTS), abs=1)
    found = run(joined(first, second, cascade), exported.batch(names(first)))
    np.testing.assert_allclose(found, cascade.logits(one, lambda rows: two[rows]), atol=1e-4)


def test_a_text_gets_the_same_answer_alone_and_in_a_batch(exported: Exported) -> None:
    first, second = exported.models["int8"]
    model = joined(first, second, exported.cascade("int8", 0.4))
    session = ort.InferenceSession(model.SerializeToString(), session_options(1))
    together = session.run(None, exported.batch(names(model)))[0]
    alone = [session.run(None, {name: feed[name] for name in names(model)})[0][0] for feed in exported.alone]
    np.testing.assert_array_equal(together, np.array(alone))


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_the_table_of_word_vectors_is_stored_once(exported: Exported, precision: str) -> None:
    stages = exported.models[precision]
    table = max(stages[0].graph.initializer, key=lambda item: len(item.raw_data))
    size = joined(*stages, Cascade(0.5, 0.1)).ByteSize()
    assert size < sum(stage.ByteSize() for stage in stages) - len(table.raw_data)


def test_the_files_of_a_cascade_have_both_stages(exported: Exported, tmp_path: Path) -> None:
    first, second = exported.models["int8"]
    onnx.save(joined(first, second, Cascade(0.5, 0.1)), tmp_path / "model.onnx")
    onnx.checker.check_model(tmp_path / "model.onnx")
    assert [node.op_type for node in onnx.load(tmp_path / "model.onnx").graph.node].count("If") == 1
