"""What `docs/results.md` says about whole reviews: sentences found anywhere, answers, and the time they take.

python -m tests.benchmarks.whole_reviews --bundle .local/…/bundle --data .local/…/split.parquet --output reviews.json
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from components.evaluation.documents import compare_methods
from components.modelling.documents import whole_reviews
from feature_checks import bundle as bundles
from feature_checks.classifier import OnnxClassifier
from feature_checks.contract import RATING, SPLIT, TEXT, normalise
from feature_checks.documents.sentences import Span, sentence_spans
from serving.documents.evidence import MAX_EXPLAINED, evidence, words_of
from serving.inference.batcher import Batcher
from serving.inference.engine import OnnxEngine
from serving.protocol.common import Prediction
from serving.settings import Settings

PLANTED: Final = 300
EXPLAINED: Final = 200
POSITIONS: Final = ("start", "middle", "end")


def main() -> None:
    """Measure, print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("bundle", "data", "output"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--latency", action="store_true", help="measure the times instead; nothing else may run")
    chosen = parser.parse_args()
    classifier, frame = OnnxClassifier(bundles.load(chosen.bundle)), pd.read_parquet(chosen.data)
    measures: dict[str, Callable[[], Any]] = {
        "evidence": lambda: asyncio.run(evidence_beats_chance(classifier, frame)),
        "whole_reviews": lambda: asdict(compare_methods(classifier, whole_reviews(frame, ["test"]))),
        "planted": lambda: planted(classifier, frame),
    }
    if chosen.latency:
        measures = {"latency_ms": lambda: asyncio.run(latency(OnnxEngine(bundles.load(chosen.bundle)), frame))}
    figures: dict[str, Any] = {}
    for name, measure in measures.items():
        figures[name] = measure()
        print(name, json.dumps(figures[name], indent=2), flush=True)
    chosen.output.write_text(json.dumps(figures, indent=2), encoding="utf-8")


def planted(classifier: OnnxClassifier, frame: pd.DataFrame) -> dict[str, Any]:
    """Plant polar test sentences in 1,000 to 3,000 tokens of neutral ones; count those that the text still shows.

    A planted sentence is found if the text has a sentence with its exact offsets, labelled as the planted sentence is
    when it stands alone.
    """
    choose = random.Random(0)
    test = frame[frame[SPLIT] == "test"]
    polar = test[test[RATING].abs() >= 1.5][TEXT].map(normalise).tolist()
    neutral = test[test[RATING].abs() < 0.25][TEXT].map(normalise).tolist()
    # A sentence of its own: it ends with a mark, and it is one sentence.
    polar = [text for text in polar if text[-1] in ".!?" and len(sentence_spans(text)) == 1]
    neutral = [text for text in neutral if text[-1] in ".!?"]
    sentences = [choose.choice(polar) for _ in range(PLANTED)]
    alone = classifier.probabilities(sentences).argmax(axis=1)
    found: dict[str, float] = {}
    known: dict[str, int] = {}
    for position in POSITIONS:
        texts = [_around(sentence, neutral, position, choose) for sentence in sentences]
        hits = [_found(classifier, known, *each) for each in zip(texts, sentences, alone, strict=True)]
        found[position] = float(np.mean(hits))
    return {"sentences": PLANTED, "distinct": len(set(sentences)), "found": found,
            "spread": max(found.values()) - min(found.values())}  # fmt: skip


def _around(sentence: str, neutral: Sequence[str], position: str, choose: random.Random) -> str:
    filler: list[str] = []
    tokens, wanted = 0, choose.randint(1_000, 3_000)
    while tokens < wanted:
        filler.append(choose.choice(neutral))
        tokens += len(filler[-1]) // 4
    place = {"start": 0, "middle": len(filler) // 2, "end": len(filler)}[position]
    return " ".join([*filler[:place], sentence, *filler[place:]])


def _found(classifier: OnnxClassifier, known: dict[str, int], text: str, sentence: str, label: int) -> bool:
    """Return whether the text shows the sentence with its label; `known` are labels as the cache has them."""
    parts = [text[start:end] for start, end in sentence_spans(text)]
    new = sorted(set(parts) - known.keys())
    if new:
        known |= dict(zip(new, classifier.probabilities(new).argmax(axis=1).tolist(), strict=True))
    return sentence in parts and known[sentence] == label


async def evidence_beats_chance(classifier: OnnxClassifier, frame: pd.DataFrame) -> dict[str, float]:
    """Return in which share of test texts leaving out the three named words lowers the label's probability more.

    More than leaving out three random words. Texts of at least seven words of which three are named.
    """
    choose = random.Random(0)
    texts = [
        text for text in frame[frame[SPLIT] == "test"][TEXT].map(normalise) if 7 <= len(list(words_of(text))) <= 64
    ]
    texts = choose.sample(texts, EXPLAINED)

    async def score(several: Sequence[str]) -> Prediction:
        rows = classifier.probabilities(several)
        return Prediction.of("sentiment", "1", rows, [False] * len(several), 0)

    pairs, labels = [], []
    for start in range(0, len(texts), MAX_EXPLAINED):
        part = texts[start : start + MAX_EXPLAINED]
        prediction = await score(part)
        for text, label, found in zip(part, prediction.labels, await evidence(part, prediction, score), strict=True):
            named = [Span(word["start"], word["end"]) for word in found["words"][:3]]
            chance = choose.sample(list(words_of(text)), 3)
            if len(named) == 3:
                pairs += [_without(text, named), _without(text, chance)]
                labels.append(label)
    rows = classifier.probabilities(pairs).reshape(-1, 2, 3)
    lower = [float(both[0, label] < both[1, label]) for both, label in zip(rows, labels, strict=True)]
    return {"texts": len(texts), "with_three_words": len(labels), "lower": float(np.mean(lower))}


def _without(text: str, words: Sequence[Span]) -> str:
    for start, end in sorted(words, reverse=True):
        text = text[:start] + text[end:]
    return text


async def latency(engine: OnnxEngine, frame: pd.DataFrame) -> dict[str, float]:
    """Return the milliseconds of 40 texts of about 3,000 tokens, and of evidence for 64 words, one at a time."""
    choose, texts = random.Random(1), frame[TEXT].map(normalise).tolist()
    batcher = Batcher(engine, Settings(prediction_log="off"))
    await batcher.start()
    seconds, reasons, tokens = [], [], []

    async def score(several: Sequence[str]) -> Prediction:
        scored = await batcher.score(several)
        return Prediction.of("sentiment", "1", scored.probabilities, scored.cached, 0)

    for number in range(45):
        parts: list[str] = []
        while sum(len(row.ids) - 2 for row in engine.encode(parts)) < 3_000:
            parts += choose.sample(texts, 10)
        text = " ".join(parts)[:20_000]
        started = time.perf_counter()
        await batcher.score([text])
        if number >= 5:
            seconds.append(time.perf_counter() - started)
            tokens.append(sum(len(row.ids) - 2 for row in engine.encode(parts)))
        words = " ".join(text.split()[:64])
        started = time.perf_counter()
        await evidence([words], await score([words]), score)
        reasons.append(time.perf_counter() - started)
    await batcher.stop()
    p50, p95 = np.quantile(seconds, [0.5, 0.95]) * 1000
    explain = float(np.quantile(reasons[5:], 0.95)) * 1000
    return {"p50": float(p50), "p95": float(p95), "tokens": float(np.mean(tokens)), "evidence_p95": explain}


if __name__ == "__main__":
    main()
