"""Scoring files: every format in and out, rows that cannot be scored, and resuming after a crash."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from feature_checks.bundle import Bundle, FileDigest, Manifest
from feature_checks.classifier import EncodedText, Probabilities
from feature_checks.contract import LABELS
from feature_checks.documents.languages import Languages
from feature_checks.documents.max_error import MaxErrors
from feature_checks.documents.windows import Rows
from serving import __main__ as command
from serving.bulk import score
from serving.bulk.decisions import reliance_of
from serving.bulk.files import FileError, Progress
from serving.bulk.score import score_file
from serving.documents.decision import Reliance
from serving.inference.engine import Engine, FakeEngine, OnnxEngine
from serving.inference.loading import PreparedModel

TEXTS: list[Any] = ["It works.", 'Says "fine", and, well,\nbreaks', "Schön – sehr gut", "", None, "no " * 300]


class Crash(FakeEngine):
    """Raises once it has computed `after` texts."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.left = after

    def run(self, batch: Sequence[EncodedText]) -> Probabilities:
        self.left -= len(batch)
        if self.left < 0:
            raise RuntimeError("the power went out")
        return super().run(batch)


def prepared(engine: Engine, digest: str = "d") -> PreparedModel:
    manifest = Manifest(256, 1.0, 0.1, FileDigest("", 0), "", "", "", {})
    return PreparedModel("7", Bundle(Path(), manifest, digest), engine, "int8")


def write(path: Path, texts: Sequence[Any]) -> Path:
    frame = pd.DataFrame({"id": range(len(texts)), "text": texts})
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    elif path.suffix == ".jsonl":
        frame.to_json(path, orient="records", lines=True, force_ascii=False)
    else:
        frame.to_parquet(path)
    return path


def read(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    frame = pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
    rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in rows]


@pytest.mark.parametrize("written", [".csv", ".jsonl", ".parquet"])
@pytest.mark.parametrize("given", [".csv", ".jsonl", ".parquet"])
def test_every_format_in_and_out(tmp_path: Path, given: str, written: str) -> None:
    source, output = write(tmp_path / f"in{given}", TEXTS), tmp_path / f"out{written}"
    assert score_file(prepared(FakeEngine()), source, output) == len(TEXTS)
    rows, engine = read(output), FakeEngine()
    assert [row["row"] for row in rows] == list(range(len(TEXTS)))
    for text, row in zip(TEXTS, rows, strict=True):
        if not text:
            assert (row["label"], row["confidence"]) == (None, None)
            # The row has its number in another column: an index here could be taken for the row's.
            assert row["error"].startswith("text: ")
            continue
        whole = Rows.of([text], engine.encode([text]), engine.encode, engine.aggregation)
        (expected,) = whole.combine(engine.run(whole.encoded))
        assert row["text"] == text
        np.testing.assert_allclose([row[label] for label in LABELS], expected, atol=1e-6)
        assert row["label"] == LABELS[expected.argmax()]
        assert row["confidence"] == pytest.approx(expected.max())
        assert (bool(row["truncated"]), str(row["model_version"]), row["error"]) == (False, "7", None)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([source.name, output.name])


@pytest.mark.parametrize("written", [".csv", ".jsonl", ".parquet"])
def test_decisions_are_three_more_columns(tmp_path: Path, written: str) -> None:
    german = "Die Kamera ist nach zwei Wochen kaputt gegangen und der Händler antwortet nicht."
    source, output = write(tmp_path / "in.csv", ["It works.", german, None]), tmp_path / f"out{written}"
    reliance = Reliance(Languages(("en",)), MaxErrors((0.1,), (0.999,), 0.95, 3, 40), None)
    score_file(prepared(FakeEngine()), source, output, reliance=reliance)
    english, foreign, refused = read(output)
    assert (english["decision"], english["reason"] or "") == (english["label"], "")
    assert (foreign["language"], foreign["decision"]) == ("de", "unsure")
    assert foreign["reason"] == "the text is in the language de; the model was trained for en"
    assert [refused[name] or None for name in ("language", "decision", "reason")] == [None] * 3
    score_file(prepared(FakeEngine()), source, output, reliance=replace(reliance, max_error=0.1))
    assert [row["decision"] for row in read(output)] == ["unsure", "unsure", None]
    assert "needs at least 1.00" in read(output)[0]["reason"]


@pytest.mark.parametrize(("asked", "words"), [(1.5, "--max-error: found 1.5"), (0.1, "model version 7 was exported")])
def test_an_accepted_error_that_cannot_be_kept_is_refused(asked: float, words: str) -> None:
    with pytest.raises(FileError, match=words):
        reliance_of(prepared(FakeEngine()), asked, None)
    assert reliance_of(prepared(FakeEngine()), None, 0.2).max_error == 0.2


def test_a_crash_loses_a_chunk_at_most_and_the_rest_is_not_computed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(score, "_CHUNK", 20)
    texts = [f"text number {n}" for n in range(500)]
    source, output = write(tmp_path / "in.csv", texts), tmp_path / "out.jsonl"
    with pytest.raises(Exception, match="inference failed"):
        score_file(prepared(Crash(after=300)), source, output)
    assert not output.exists()
    progress = tmp_path / "out.jsonl.progress"
    done = len(progress.read_bytes().splitlines()) - 1
    assert 200 <= done <= 300
    with progress.open("ab") as file:
        file.write(b'{"row": 99')  # a line that the crash cut off
    score_file(prepared(Crash(after=500 - done + 16)), source, output)
    assert [(row["row"], row["text"]) for row in read(output)] == list(enumerate(texts))
    assert not progress.exists()


def test_another_models_progress_is_not_continued(tmp_path: Path) -> None:
    source, output = write(tmp_path / "in.csv", ["a", "b"]), tmp_path / "out.csv"
    with pytest.raises(Exception, match="inference failed"):
        score_file(prepared(Crash(after=1)), source, output)
    with pytest.raises(FileError, match="delete it to start again"):
        score_file(prepared(FakeEngine(), digest="other"), source, output)


def test_an_input_that_was_sorted_in_between_is_not_continued(tmp_path: Path) -> None:
    source, output = write(tmp_path / "in.csv", ["a", "b"]), tmp_path / "out.csv"
    with pytest.raises(Exception, match="inference failed"):
        score_file(prepared(Crash(after=1)), source, output)
    write(source, ["b", "a"])
    with pytest.raises(FileError, match="delete it to start again"):
        score_file(prepared(FakeEngine()), source, output)


def test_progress_counts_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "progress"
    Progress.resume(path, {"of": "this"}).append([{"row": 0}, {"row": 1}])
    with path.open("ab") as file:
        file.write(b'{"row"')
    resumed = Progress.resume(path, {"of": "this"})
    resumed.append([{"row": 2}])
    assert resumed.done == 2
    assert [row["row"] for row in resumed.results()] == [0, 1, 2]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("in.txt", "text\nfine\n", "the suffix is '.txt'; expected one of .csv, .jsonl, .parquet"),
        ("in.csv", "review\nfine\n", r"columns are \['review'\]; expected 'text'"),
        ("in.jsonl", '{"text": "fine"}\n{"text"\n', "line 2: not valid JSON"),
        ("in.jsonl", '{"review": "fine"}\n', "line 1: expected a JSON object with the member 'text'"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str, content: str, message: str) -> None:
    source = tmp_path / name
    source.write_text(content, encoding="utf-8")
    with pytest.raises(FileError, match=message):
        score_file(prepared(FakeEngine()), source, tmp_path / "out.csv")


def test_the_command_scores_with_the_model_of_the_settings(
    tmp_path: Path, tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODEL_URI", str(tiny_bundle.folder))
    monkeypatch.setenv("STATE_DIR", str(tmp_path / "state"))
    source, output = write(tmp_path / "in.csv", ["It works.", "It broke."]), tmp_path / "out.csv"
    monkeypatch.setattr("sys.argv", ["serving", "score", str(source), str(output)])
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert ended.value.code == 0
    engine = OnnxEngine(tiny_bundle)
    found = [[row[label] for label in LABELS] for row in read(output)]
    np.testing.assert_allclose(found, engine.probabilities(["It works.", "It broke."]), atol=0.05)


def test_the_command_says_what_is_wrong(tmp_path: Path) -> None:
    import typer

    app = typer.Typer()
    app.command()(score.score)
    result = CliRunner().invoke(app, [str(tmp_path / "none.csv"), str(tmp_path / "out.xlsx")])
    assert result.exit_code == 2
    assert ".xlsx" in result.output
