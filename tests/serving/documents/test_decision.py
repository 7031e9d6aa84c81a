"""A text in a language that the model does not know: `unsure` with the reason, and a count of a sample."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from feature_checks.documents.languages import Languages
from serving.documents.language_sample import ONE_IN, SECONDS_BETWEEN, LanguageSample
from serving.telemetry.metrics import LANGUAGES
from tests.support.waiting import eventually
from tests.support.wire import VERSION, Wire

GERMAN = "Die Kamera ist nach zwei Wochen kaputt gegangen und der Händler antwortet nicht."
ENGLISH = "The camera broke after two weeks and the seller does not answer."
OUTPUTS = ["decision", "reason", "language", "label"]
PREDICT = "/v1/models/sentiment:predict"


async def test_an_unknown_language_is_unsure_and_still_has_a_label(wire: Wire) -> None:
    reply = await wire.infer_tensor_outputs([GERMAN, ENGLISH, "ok"], OUTPUTS)
    decision, reason, language, label = (output["data"] for output in reply.json()["outputs"])
    assert [output["datatype"] for output in reply.json()["outputs"]] == ["BYTES"] * 4
    assert decision == ["unsure", label[1], label[2]]
    assert reason[0] == "the text is in the language de; the model was trained for en"
    assert reason[1:] == ["", ""]
    assert language[:2] == ["de", "en"]
    reply = await wire.client.post(PREDICT, json={"instances": [GERMAN, ENGLISH], "outputs": OUTPUTS})
    german, english = reply.json()["predictions"]
    assert (german["decision"], german["language"], german["label"]) == ("unsure", "de", label[0])
    assert (english["decision"], english["reason"]) == (label[1], "")


async def test_the_languages_are_those_of_the_bundle(make_wire: Callable[..., Any]) -> None:
    wire = await make_wire()
    wire.predictor.model(VERSION).languages = Languages(("de", "en"))
    reply = await wire.infer_tensor_outputs([GERMAN], ["decision", "label"])
    decision, label = (output["data"] for output in reply.json()["outputs"])
    assert decision == label


async def test_a_sample_of_the_requests_is_counted(wire: Wire) -> None:
    def counted(language: str) -> float:
        return float(LANGUAGES.labels(language)._value.get())

    before = {name: counted(name) for name in ("supported", "unsupported")}
    sample = LanguageSample()
    for text in (GERMAN, ENGLISH):
        for _ in range(ONE_IN):
            sample.observe(text, Languages())
        await eventually(lambda: not sample._busy)
        for _ in range(ONE_IN):  # more of them in the same moment are not looked at
            sample.observe(text, Languages())
        assert not sample._busy
        await asyncio.sleep(SECONDS_BETWEEN)
    assert counted("unsupported") - before["unsupported"] == 1
    assert counted("supported") - before["supported"] == 1
    for _ in range(ONE_IN):
        await wire.infer_tensor(data=[GERMAN])
    await eventually(lambda: counted("unsupported") - before["unsupported"] == 2)
