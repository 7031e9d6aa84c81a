"""Results by name: only what is asked for, sentences with exact offsets, and the words that carried the label."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from feature_checks.classifier import EncodedText, Probabilities, softmax
from feature_checks.documents.aggregation import Aggregation
from serving.documents.evidence import MAX_EXPLAINED, MAX_WORDS, words_of
from serving.inference.engine import FakeEngine
from tests.support.wire import Wire, prepared

PREDICT, EXPLAIN = "/v1/models/sentiment:predict", "/v1/models/sentiment:explain"
DEFAULT = ["label", "confidence", "probabilities"]
REVIEW = "Das Menü 👍🏽 works. 😀 But the screen broke!\r\n\r\nשלום terrible 👨\u200d👩\u200d👧 e\u0301nd."


class PolarEngine(FakeEngine):
    """Sees two words of the language: `broke` and `superb`, the second more strongly."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[list[str]] = []
        self._polarity: dict[tuple[int, ...], float] = {}

    def encode(self, texts: Sequence[str]) -> list[EncodedText]:
        self.calls.append(list(texts))
        rows = super().encode(texts)
        for row, text in zip(rows, texts, strict=True):
            words = re.findall("[a-z]+", text.lower())
            self._polarity[tuple(row.ids)] = 3.0 * words.count("superb") - 2.0 * words.count("broke")
        return rows

    def run(self, batch: Sequence[EncodedText]) -> Probabilities:
        polarity = np.array([self._polarity.get(tuple(text.ids), 0.0) for text in batch], dtype=np.float32)
        return softmax(np.stack([-polarity, np.full_like(polarity, 0.5), polarity], axis=1))


@pytest.fixture
async def wire(make_wire: Callable[..., Any]) -> Wire:
    made: Wire = await make_wire(engine=PolarEngine())
    return made


async def v2(wire: Wire, texts: Sequence[str], *outputs: str) -> dict[str, Any]:
    reply = await wire.infer_tensor_outputs(texts, outputs)
    assert reply.status_code == 200, reply.text
    return {output["name"]: output for output in reply.json()["outputs"]}


async def v1(wire: Wire, texts: Sequence[str], **members: Any) -> Any:
    reply = await wire.client.post(PREDICT, json={"instances": list(texts)} | members)
    assert reply.status_code == 200, reply.text
    return reply.json()["predictions"]


async def test_the_default_outputs_stay_as_they_are(wire: Wire) -> None:
    assert list(await v2(wire, ["It broke."])) == DEFAULT
    (answer,) = await v1(wire, ["It broke."])
    assert list(answer) == DEFAULT


async def test_only_the_named_outputs_come_in_the_named_order(wire: Wire) -> None:
    assert list(await v2(wire, ["It broke."], "sentences", "label")) == ["sentences", "label"]
    (answer,) = await v1(wire, ["It broke."], outputs=["sentences", "label"])
    assert list(answer) == ["sentences", "label"]
    assert answer["label"] == "negative"


async def test_sentences_have_exact_offsets_and_their_own_labels(wire: Wire) -> None:
    texts = [REVIEW, "Superb."]
    output = (await v2(wire, texts, "sentences"))["sentences"]
    assert (output["datatype"], output["shape"]) == ("BYTES", [2])
    found = [json.loads(element) for element in output["data"]]
    for text, sentences in zip(texts, found, strict=True):
        utf8, utf16 = text.encode(), text.encode("utf-16-le")
        for sentence in sentences:
            part = text[sentence["start"] : sentence["end"]]
            assert utf8[sentence["utf8_start"] : sentence["utf8_end"]].decode() == part
            assert utf16[2 * sentence["utf16_start"] : 2 * sentence["utf16_end"]].decode("utf-16-le") == part
            (alone,) = await v1(wire, [part])
            assert (sentence["label"], sentence["confidence"]) == (alone["label"], pytest.approx(alone["confidence"]))
    parts = [[text[s["start"] : s["end"]] for s in sentences] for text, sentences in zip(texts, found, strict=True)]
    assert parts[1] == ["Superb."]
    assert [s["label"] for s in found[0] if "broke" in REVIEW[s["start"] : s["end"]]] == ["negative"]
    (answer, _) = await v1(wire, texts, outputs=["sentences"])
    assert answer["sentences"] == found[0]


async def test_evidence_names_the_words_that_carried_the_label(wire: Wire) -> None:
    text = "The superb case, it broke and broke!"
    (element,) = (await v2(wire, [text], "evidence"))["evidence"]["data"]
    found = json.loads(element)
    (whole,) = await v1(wire, [text])
    assert (found["label"], found["confidence"]) == (whole["label"], pytest.approx(whole["confidence"]))
    assert [word["text"] for word in found["words"]] == ["broke", "broke"]
    for word in found["words"]:
        assert text[word["start"] : word["end"]] == word["text"]
        (without,) = await v1(wire, [text[: word["start"]] + text[word["end"] :]])
        expected = whole["confidence"] - without["probabilities"][whole["label"]]
        assert word["effect"] == pytest.approx(expected, abs=1e-6)


async def test_explain_speaks_as_kserve_does(wire: Wire) -> None:
    texts = ["It broke.", {"text": "Superb, superb camera."}]
    reply = await wire.client.post(EXPLAIN, json={"instances": texts})
    assert reply.status_code == 200
    assert reply.headers["x-model-version"]
    one, other = reply.json()["explanations"]
    assert [word["text"] for word in one["words"]] == ["broke"]
    assert [word["text"].lower() for word in other["words"]] == ["superb", "superb"]
    assert (await wire.client.get(EXPLAIN)).status_code == 405
    assert (await wire.client.post("/v1/models/other:explain", json={"instances": texts})).status_code == 404


async def test_the_words_of_a_long_text_come_from_its_clearest_sentences_in_two_batches(
    make_wire: Callable[..., Any],
) -> None:
    engine = PolarEngine()  # A long text is as negative as its most negative window.
    engine.aggregation = Aggregation(64, [[0, 0, 0, 9, 0], [0] * 5, [0, 0, 0, 0, 9]], [0, 5, 0])
    wire = await make_wire(engine=engine)
    text = "It has two buttons and a cable. " * 60 + "Then it broke. " + "It has two buttons and a cable. " * 60
    engine.calls.clear()
    reply = await wire.client.post(EXPLAIN, json={"instances": [text]})
    (found,) = reply.json()["explanations"]
    assert found["label"] == "negative"
    assert [text[word["start"] : word["end"]] for word in found["words"]] == ["broke"]
    variants = [call for call in engine.calls if len(call) > 1]
    assert sum("It has two buttons and a cable." in call for call in variants) >= 1
    assert max(len(call) for call in variants[-1:]) <= MAX_WORDS


async def test_a_text_of_one_word_has_evidence(wire: Wire) -> None:
    (answer,) = await v1(wire, ["Superb!"], outputs=["evidence"])
    (word,) = answer["evidence"]["words"]
    assert word["text"] == "Superb"
    assert word["effect"] > 0.3


async def test_too_many_texts_for_evidence_are_refused(wire: Wire) -> None:
    texts = [f"text {n}" for n in range(MAX_EXPLAINED + 1)]
    reply = await wire.client.post(EXPLAIN, json={"instances": texts})
    assert (reply.status_code, str(MAX_EXPLAINED) in reply.json()["error"]) == (413, True)
    reply = await wire.infer_tensor_outputs(texts, ["evidence"])
    assert reply.status_code == 413


@pytest.mark.parametrize(
    ("outputs", "words"),
    [("label", "a list"), ([1], "outputs[0]"), (["label", "wrong"], "outputs[1]"), (["label", "label"], "twice")],
)
async def test_wrong_names_are_400(wire: Wire, outputs: Any, words: str) -> None:
    reply = await wire.client.post(PREDICT, json={"instances": ["text"], "outputs": outputs})
    assert reply.status_code == 400
    assert words in reply.json()["error"]


async def test_an_old_version_stays_until_its_extras_are_ready(make_wire: Callable[..., Any]) -> None:
    class Slow(PolarEngine):
        def run(self, batch: Sequence[EncodedText]) -> Probabilities:
            time.sleep(0.05)
            return super().run(batch)

    wire = await make_wire(engine=Slow())
    asked = asyncio.create_task(wire.client.post(EXPLAIN, json={"instances": ["It broke after two days."]}))
    await asyncio.sleep(0.02)
    await wire.predictor.swap(prepared("4", engine=PolarEngine()))
    reply = await asked
    assert (reply.status_code, reply.headers["x-model-version"]) == (200, "3")
    assert reply.json()["explanations"][0]["words"][0]["text"] == "broke"


def test_words() -> None:
    text = "It's (not) good... 👍🏽 — e\u0301te\u0301! \u200b"
    assert [text[start:end] for start, end in words_of(text)] == ["It's", "not", "good", "👍🏽", "—", "e\u0301te\u0301"]
